//! Which nodes ONNX Runtime has no CPU kernel for.
//!
//! `ort_kernels.txt` is the list of kernels of its Python package; `tests/interop/kernels.py` writes it and explains its
//! lines. A kernel is found as ONNX Runtime finds it: it has the version of the operator as its first version, or the
//! version is within a range that has an end. Types that are unknown fit.

use crate::ir::{ElementType, Graph, Model, NodeId, Op, OpKind};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::LazyLock;

const TEXT: &str = include_str!("ort_kernels.txt");

/// The runtime whose kernels are known, with its version.
pub static KERNELS_OF: LazyLock<&str> = LazyLock::new(|| TEXT.lines().next().unwrap_or_default());

/// The inputs of a group: from the first of each pair to the second.
type Group = Vec<(usize, usize)>;

#[derive(Debug)]
struct Kernel {
    first: i64,
    last: Option<i64>,
    types: Vec<(Group, Vec<&'static str>)>,
    /// The operator is defined by others, which the runtime puts in its place.
    is_function: bool,
}

static KERNELS: LazyLock<HashMap<(&str, &str), Vec<Kernel>>> = LazyLock::new(|| {
    let mut kernels: HashMap<_, Vec<_>> = HashMap::new();
    for (name, kernel) in TEXT.lines().skip(1).filter_map(kernel) {
        kernels.entry(name).or_default().push(kernel);
    }
    kernels
});

fn kernel(line: &'static str) -> Option<((&'static str, &'static str), Kernel)> {
    let mut words = line.split(' ');
    let (domain, operator) = (words.next()?, words.next()?);
    let (first, last) = (words.next()?.parse().ok()?, words.next()?.parse().ok());
    let mut kernel = Kernel { first, last, types: vec![], is_function: false };
    for word in words {
        let Some((inputs, elements)) = word.split_once('=') else {
            kernel.is_function = true;
            continue;
        };
        let input = |text: &str| {
            let text = text.strip_prefix('i')?;
            let at = text.trim_end_matches('*').parse().ok()?;
            Some((at, if text.ends_with('*') { usize::MAX } else { at }))
        };
        kernel.types.push((inputs.split('+').filter_map(input).collect(), elements.split('|').collect()));
    }
    Some(((if domain == "-" { "" } else { domain }, operator), kernel))
}

impl Kernel {
    fn has_version(&self, version: i64) -> bool {
        self.first == version || self.last.is_some_and(|last| (self.first..=last).contains(&version))
    }

    /// Returns the first type of an operand that the kernel does not accept.
    fn refused(&self, operands: &[Option<ElementType>]) -> Option<ElementType> {
        let accepts = |at: usize, element: ElementType| {
            let allowed =
                self.types.iter().find(|(group, _)| group.iter().any(|(from, to)| (*from..=*to).contains(&at)));
            let name = element.to_string();
            // The runtime inserts casts where it has no kernel for f16.
            allowed.is_none_or(|(_, allowed)| {
                allowed.contains(&&*name) || element == ElementType::F16 && allowed.contains(&"f32")
            })
        };
        operands.iter().enumerate().find_map(|(at, element)| element.filter(|element| !accepts(at, *element)))
    }
}

/// Returns the operators for which ONNX Runtime has no CPU kernel, with the reason and the number of nodes; the nodes of
/// bodies and of the model's functions count too.
///
/// ```
/// use netwright::ir::{Model, parse};
/// let text = "g(%x: f32[n]) {\n%y = \"my.domain::Twist@1\" %x : f32[n]\nreturn %y\n}";
/// let missing = netwright::overview::missing_kernels(&Model::new(parse(text)?));
/// assert_eq!(missing, [("my.domain::Twist: it has no kernel".to_owned(), 1)].into());
/// # Ok::<(), netwright::ir::ParseError>(())
/// ```
pub fn missing_kernels(model: &Model) -> BTreeMap<String, usize> {
    let functions: HashSet<(&str, &str)> =
        model.functions.iter().map(|function| (&*function.domain, &*function.name)).collect();
    let mut missing = BTreeMap::new();
    let mut graphs = vec![&model.graph];
    graphs.extend(model.functions.iter().map(|function| &function.graph));
    while let Some(graph) = graphs.pop() {
        for id in graph.schedule() {
            let op = graph.node(id).op();
            graphs.extend(op.bodies().into_iter().map(std::convert::AsRef::as_ref));
            if let Some(why) = reason(model, graph, id, &functions) {
                *missing.entry(why).or_default() += 1;
            }
        }
    }
    missing
}

/// Returns the version of an operator in an opset; `None` if the opset does not have it.
fn since(kind: OpKind, opset: i64) -> Option<i64> {
    kind.versions().iter().map(|version| version.since).filter(|since| *since <= opset).max()
}

fn reason(model: &Model, graph: &Graph, id: NodeId, functions: &HashSet<(&str, &str)>) -> Option<String> {
    let op = graph.node(id).op();
    let (domain, name, version) = match op {
        // The runtime has operators of its own in ONNX's domain, which have version 1.
        Op::Opaque(opaque) if opaque.domain.is_empty() => {
            let version = OpKind::from_name(&opaque.op_type).and_then(|kind| since(kind, opaque.version));
            ("", &*opaque.op_type, version.unwrap_or(1))
        }
        Op::Opaque(opaque) => (&*opaque.domain, &*opaque.op_type, opaque.version),
        // What ONNX does not have is not in a file.
        op => ("", op.kind().name(), since(op.kind(), model.opset())?),
    };
    if op.kind().is_source() || functions.contains(&(domain, name)) {
        return None;
    }
    let shown = if domain.is_empty() { name.to_owned() } else { format!("{domain}::{name}") };
    let Some(kernels) = KERNELS.get(&(domain, name)) else { return Some(format!("{shown}: it has no kernel")) };
    let of_version: Vec<&Kernel> = kernels.iter().filter(|kernel| kernel.has_version(version)).collect();
    if of_version.is_empty() {
        return Some(format!("{shown}: it has no kernel for version {version}"));
    }
    let operands: Vec<Option<ElementType>> =
        graph.operands(id).iter().map(|operand| operand.and_then(|value| graph.fact(value).element())).collect();
    let mut refused = None;
    for kernel in of_version {
        if kernel.is_function {
            return None;
        }
        refused = Some(kernel.refused(&operands)?);
    }
    refused.map(|element| format!("{shown}: it has no kernel for {element}"))
}

#[cfg(test)]
mod tests {
    use super::{KERNELS, KERNELS_OF, TEXT, missing_kernels};
    use crate::ir::{Model, parse};

    #[test]
    fn every_line_is_read() {
        assert!(KERNELS_OF.starts_with("ONNX Runtime 1."), "{}", *KERNELS_OF);
        assert_eq!(KERNELS.values().map(Vec::len).sum::<usize>(), TEXT.lines().count() - 1);
    }

    #[test]
    fn types_and_versions_are_those_of_the_runtime() {
        for (line, expected) in [
            ("%y = tanh %x : f32[n]", ""),
            ("%h = cast %x {to = f16} : f16[n]\n%y = tanh %h : f16[n]", ""),
            ("%h = cast %x {to = bf16} : bf16[n]\n%y = tanh %h : bf16[n]", "Tanh: it has no kernel for bf16"),
            ("%y = \"com.microsoft::QuickGelu@1\" %x : f32[n]", ""),
            ("%y = \"my.domain::Thing@1\" %x : f32[n]", "my.domain::Thing: it has no kernel"),
            // An opset, not the version of the operator, as in the body of a function.
            ("%y = \"::Mul@15\" %x, %x : f32[n]", ""),
            // The runtime's own operator in ONNX's domain.
            ("%y = \"::SimplifiedLayerNormalization@20\" %x, %x : f32[n]", ""),
            ("%y = \"::Thing@20\" %x : f32[n]", "Thing: it has no kernel"),
            ("%d = cast %x {to = f64} : f64[n]\n%y = gelu %d : f64[n]", ""),
        ] {
            let text = format!("g(%x: f32[n]) {{\n{line}\nreturn %y\n}}");
            let mut model = Model::new(parse(&text).unwrap_or_else(|error| panic!("{line}: {error}")));
            model.opsets.insert(String::new(), 21);
            let found: Vec<String> = missing_kernels(&model).into_keys().collect();
            assert_eq!(found.join("; "), expected, "{line}");
        }
    }
}
