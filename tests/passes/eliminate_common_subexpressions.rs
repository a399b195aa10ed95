use super::{check_cases, check_pass, run, write};
use netwright::ir::{ElementType, Graph, Op, OpKind, Tensor, TensorType, shape};
use netwright::onnx::{self, ReadOptions};
use tempfile::TempDir;

#[test]
fn eliminate_common_subexpressions() {
    check_cases(
        "eliminate-common-subexpressions",
        &[
            (
                "common_chain",
                "%c = cast %ids {to = f32} : f32[b, q]
                 %u = unsqueeze %c, [1, 2] : f32[b, 1, 1, q]
                 %s = sub 1.0, %u : f32[b, 1, 1, q]
                 %c1 = cast %ids {to = f32} : f32[b, q]
                 %u1 = unsqueeze %c1, [1, 2] : f32[b, 1, 1, q]
                 %s1 = sub 1.0, %u1 : f32[b, 1, 1, q]
                 %r = sub %s, %s1 : f32[b, 1, 1, q]
                 return %r, masks = %s1",
            ),
            (
                "either_order",
                "%a = add %x, %y : f32[b, h, q, k]
                 %b = add %y, %x : f32[b, h, q, k]
                 %c = sub %a, %b : f32[b, h, q, k]
                 %d = sub %b, %a : f32[b, h, q, k]
                 %e = sub %x, %y : f32[b, h, q, k]
                 %f = sub %y, %x : f32[b, h, q, k]
                 %g = sum %c, %d, %e, %f : f32[b, h, q, k]
                 return %g",
            ),
            (
                "attributes_differ",
                "%a = softmax %x {axis = -1} : f32[b, h, q, k]
                 %b = softmax %x {axis = -2} : f32[b, h, q, k]
                 %c = mul %a, 2.0 : f32[b, h, q, k]
                 %d = mul %b, f32[1] [2.0] : f32[b, h, q, k]
                 %e = add %c, %d : f32[b, h, q, k]
                 return %e",
            ),
            (
                // Two biases that begin alike are two; large tables are not compared.
                "trained_tensors",
                "%w = parameter fill(0.0) : f32[8]
                 %v = parameter fill(0.0) : f32[8]
                 %p = constant sinusoidal(halves) : f32[32, 16]
                 %o = constant sinusoidal(halves) : f32[32, 16]
                 %a = add %w, %v : f32[8]
                 %b = add %p, %o : f32[32, 16]
                 return %a, %b",
            ),
            (
                // The parameters stay apart, but nodes that read equal ones are the same.
                "equal_small_parameters",
                "%w = parameter fill(0.5) : f32[]
                 %v = parameter fill(0.5) : f32[]
                 %o = parameter fill(0.5) : f32[1]
                 %a = mul %x, %w : f32[b, h, q, k]
                 %b = mul %v, %x : f32[b, h, q, k]
                 %c = mul %x, %o : f32[b, h, q, k]
                 %d = sum %a, %b, %c : f32[b, h, q, k]
                 return %d",
            ),
            (
                "random_operators",
                "%a = random_normal_like %x : f32[b, h, q, k]
                 %b = random_normal_like %x : f32[b, h, q, k]
                 %c = add %a, %b : f32[b, h, q, k]
                 return %c",
            ),
            (
                // It may be random.
                "kept_operators",
                "%a = \"my.domain::Noise@1\" %x : f32[b, h, q, k]
                 %b = \"my.domain::Noise@1\" %x : f32[b, h, q, k]
                 %c = add %a, %b : f32[b, h, q, k]
                 return %c",
            ),
            (
                // Two results of the graph are two nodes.
                "outputs",
                "%a = exp %x : f32[b, h, q, k]
                 %b = exp %x : f32[b, h, q, k]
                 return %a, %b",
            ),
        ],
    );
}

/// 256 elements, of which one is another; they are told apart by it alone.
fn biased(name: &str, others: &[(&str, usize, u32)]) -> Graph {
    let mut graph = Graph::new(name);
    let x = graph.input("x", TensorType::new(ElementType::F32, shape!["n", 256]));
    for (name, at, bits) in others {
        let mut elements = [1.0f32.to_bits(); 256];
        elements[*at] = *bits;
        let bytes: Vec<u8> = elements.iter().flat_map(|element| element.to_le_bytes()).collect();
        let tensor = Tensor::from_bytes(ElementType::F32, &[256], bytes).expect("256 elements of 4 bytes");
        let weight = graph.parameter(name, tensor);
        let sum = graph.append(&format!("{name}.sum"), Op::Add, &[x, weight]).expect("it is defined");
        graph.output(format!("{name}.out"), sum);
    }
    graph
}

#[test]
fn weights() {
    let one = 1.0f32.to_bits();
    // The first stays under its name; the others differ where only a look at all elements tells.
    let tied =
        biased("tied", &[("w", 0, one), ("v", 9, 0), ("w.tied", 7, one), ("v.negative", 9, (-0.0f32).to_bits())]);
    check_pass("tied_weights", "eliminate-common-subexpressions", &tied);
    let (quiet, other) = (0x7fc0_0000, 0x7fc0_0001);
    let nans = biased("nans", &[("w", 5, quiet), ("v", 5, other), ("w.tied", 5, quiet)]);
    check_pass("weights_with_nans", "eliminate-common-subexpressions", &nans);
}

/// They stand at two places of the file.
#[test]
fn weights_of_a_file() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("tied.onnx");
    let one = 1.0f32.to_bits();
    write(&biased("tied", &[("w", 0, one), ("v", 9, 0), ("w.tied", 0, one)]), &path);
    let mut graph = onnx::read(&path, &ReadOptions::default()).unwrap_or_else(|error| panic!("{error}")).graph;
    run("eliminate-common-subexpressions", &mut graph);
    let names = graph.schedule().into_iter().filter(|id| graph.node(*id).op().kind() == OpKind::Parameter);
    let names: Vec<String> = names.flat_map(|id| graph.results(id)).map(|w| graph.value_name(w).to_string()).collect();
    assert_eq!(names, ["w", "v"]);
}
