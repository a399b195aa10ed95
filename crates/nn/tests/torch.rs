//! Files of `torch.save`: those of `tests/interop/make_torch.py` equal their tensors as safetensors, and hostile ones
//! are refused at once, since reading runs nothing and takes no more memory than the file.

use netwright_ir::{Graph, Op, Tensor, Value};
use netwright_nn::{Part, Pretrained, PretrainedOptions, Weights};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests")
}

/// The type and the bytes of each tensor.
type Tensors = BTreeMap<String, (String, Vec<u8>)>;

fn tensors(path: &Path) -> Tensors {
    let Weights::Trained(tensors) = Weights::open(path).unwrap_or_else(|error| panic!("{error}")) else {
        panic!("a file has trained tensors")
    };
    let tensor = |(name, tensor): (String, Tensor)| {
        (name, (tensor.ty().to_string(), tensor.to_bytes().expect("it is read").to_vec()))
    };
    tensors.into_iter().map(tensor).collect()
}

fn error(path: &Path) -> String {
    Weights::open(path).expect_err("it is refused").to_string()
}

#[test]
fn every_type_and_layout_equals_safetensors() {
    let folder = root().join("torch");
    let found = tensors(&folder.join("types.bin"));
    assert_eq!(found.len(), 17);
    assert_eq!(found, tensors(&folder.join("types.safetensors")));
    let legacy = tensors(&folder.join("legacy.bin"));
    assert_eq!(legacy["weight"].0, "f32[4, 6]");
    // Both are one table, from its second row on.
    assert_eq!(legacy["weight"].1[24..72], found["view"].1);
}

/// The lines of a graph without its parameters, and the type and the bytes of each parameter.
fn apart(graph: &Graph) -> (Vec<String>, Tensors) {
    let parameter = |node| match graph.node(node).op() {
        Op::Parameter(tensor) => {
            let name = graph.value_name(Value { node, result: 0 }).to_string();
            Some((name, (tensor.ty().to_string(), tensor.to_bytes().expect("it is read").to_vec())))
        }
        _ => None,
    };
    let text = graph.to_string();
    let lines = text.lines().filter(|line| !line.contains(" = parameter ")).map(ToOwned::to_owned);
    (lines.collect(), graph.schedule().into_iter().filter_map(parameter).collect())
}

#[test]
fn shards_are_the_model_of_safetensors() {
    let open = |folder: &str| {
        let model = Pretrained::open(root().join(folder), &PretrainedOptions::default());
        model.unwrap_or_else(|error| panic!("{error}")).build(Part::Whole, false).expect("it builds")
    };
    assert!(apart(&open("torch/gpt2")) == apart(&open("families/gpt2")), "the shards are another model");
}

/// A zip archive of entries that are stored as they are, with their methods.
fn zip(entries: &[(&str, &[u8], u16)]) -> Vec<u8> {
    let (mut data, mut directory) = (vec![], vec![]);
    let short = |number: usize| u16::try_from(number).expect("it is small").to_le_bytes();
    let long = |number: usize| u32::try_from(number).expect("it is small").to_le_bytes();
    for (name, bytes, method) in entries {
        let sizes = [long(bytes.len()), long(bytes.len())].concat();
        let offset = data.len();
        let middle = [&[0; 2][..], &method.to_le_bytes(), &[0; 8], &sizes, &short(name.len()), &[0; 2]].concat();
        data.extend([&b"PK\x03\x04\0\0"[..], &middle, name.as_bytes(), bytes].concat());
        let end = [&[0; 10][..], &long(offset), name.as_bytes()].concat();
        directory.extend([&b"PK\x01\x02\0\0\0\0"[..], &middle, &end].concat());
    }
    let count = short(entries.len().min(0xffff));
    let end = [&b"PK\x05\x06\0\0\0\0"[..], &count, &count, &long(directory.len()), &long(data.len()), &[0; 2]].concat();
    [data, directory, end].concat()
}

/// The instructions of a tensor `[sizes]` of `numel` floats in the storage 0.
fn tensor(numel: u8, offset: u8, sizes: &[u8], strides: &[u8]) -> Vec<u8> {
    let tuple =
        |numbers: &[u8]| [b"(".to_vec(), numbers.iter().flat_map(|n| [b'K', *n]).collect(), b"t".to_vec()].concat();
    [
        &b"ctorch._utils\n_rebuild_tensor_v2\n((U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK"[..],
        &[numel],
        b"tQK",
        &[offset],
        &tuple(sizes),
        &tuple(strides),
        b"\x89ccollections\nOrderedDict\n)RtR",
    ]
    .concat()
}

/// A dictionary of one tensor.
fn pickle(tensor: &[u8]) -> Vec<u8> {
    [b"\x80\x02}U\x06weight", tensor, b"s."].concat()
}

const FLOATS: [u8; 24] = [1; 24];

#[test]
fn hostile_files_are_refused() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("pytorch_model.bin");
    let open = |bytes: &[u8]| {
        std::fs::write(&path, bytes).expect("it is written");
        error(&path)
    };
    let archive = |pickle: &[u8]| zip(&[("m/data.pkl", pickle, 0), ("m/data/0", &FLOATS, 0)]);
    let whole = archive(&pickle(&tensor(6, 0, &[2, 3], &[3, 1])));
    std::fs::write(&path, &whole).expect("it is written");
    assert_eq!(tensors(&path)["weight"], ("f32[2, 3]".to_owned(), FLOATS.to_vec()));

    // Programs.
    for (what, program, part) in [
        ("REDUCE of os.system", b"\x80\x02cos\nsystem\nU\x02idR.".to_vec(), "refers to os.system"),
        ("REDUCE of eval", b"\x80\x02c__builtin__\neval\n(U\x011tR.".to_vec(), "refers to __builtin__.eval"),
        ("a function of torch", b"\x80\x02ctorch\nload\n(U\x011tR.".to_vec(), "refers to torch.load"),
        ("INST", b"\x80\x02(U\x02idios\nsystem\n.".to_vec(), "the instruction INST"),
        ("OBJ", b"\x80\x02(cos\nsystem\nU\x02ido.".to_vec(), "refers to os.system"),
        ("NEWOBJ", b"\x80\x02ccollections\nOrderedDict\n)\x81.".to_vec(), "the instruction NEWOBJ"),
        ("STACK_GLOBAL", b"\x80\x02U\x02osU\x06system\x93.".to_vec(), "the instruction STACK_GLOBAL"),
        ("EXT1", b"\x80\x02\x82\x01.".to_vec(), "the instruction EXT1"),
        ("an unknown instruction", b"\x80\x02\xff.".to_vec(), "the instruction unknown (0xff)"),
        ("REDUCE of a string", b"\x80\x02U\x02id)R.".to_vec(), "calls a value"),
        ("REDUCE of a storage class", b"\x80\x02ctorch\nFloatStorage\n)R.".to_vec(), "with other arguments"),
        ("BUILD of a tensor", pickle(&[&tensor(6, 0, &[6], &[1])[..], b"}b"].concat()), "sets attributes"),
        ("a persistent string", b"\x80\x02U\x02idQ.".to_vec(), "cut off or damaged"),
        ("protocol 5", b"\x80\x05.".to_vec(), "protocol 5"),
        ("nothing on the stack", b"\x80\x02.".to_vec(), "cut off or damaged"),
        ("POP below a mark", b"\x80\x02N(0.".to_vec(), "cut off or damaged"),
        ("no mark", b"\x80\x02t.".to_vec(), "cut off or damaged"),
        ("an unknown memo", b"\x80\x02h\x07.".to_vec(), "cut off or damaged"),
        ("a long integer", [&b"\x80\x02\x8a\xff"[..], &[0; 255], b"."].concat(), "more than 64 bits"),
        ("a long string", [&b"\x80\x02X\x00\x00\x01\x00"[..], &b"a".repeat(65536), b"."].concat(), "65536 bytes"),
        ("a string beyond the end", b"\x80\x02X\xff\xff\xff\xffab".to_vec(), "cut off or damaged"),
        ("a list of itself", b"\x80\x02]q\x00h\x00a.".to_vec(), "not a dictionary"),
        ("a number", pickle(b"K\x01"), "not a tensor"),
        // Each list holds the one before it twice.
        (
            "a memo bomb",
            [&b"\x80\x02]q\x00"[..], &b"0](h\x00h\x00eq\x00".repeat(1000), b"h\x00."].concat(),
            "not a dictionary",
        ),
        ("many values", [&b"\x80\x02("[..], &b"N".repeat(2 << 20), b"t."].concat(), "more than 1048576 values"),
        ("many uses", [&b"\x80\x02Nq\x00("[..], &b"h\x00".repeat(2 << 20), b"t."].concat(), "more than 1048576 values"),
        (
            "two of one name",
            pickle(&[&tensor(6, 0, &[6], &[1])[..], b"sU\x06weight", &tensor(6, 0, &[6], &[1])].concat()),
            "two weights",
        ),
        ("a size beyond the storage", pickle(&tensor(6, 0, &[7], &[1])), "does not fit"),
        ("an offset beyond the storage", pickle(&tensor(6, 1, &[6], &[1])), "does not fit"),
        ("a storage of another size", pickle(&tensor(5, 0, &[5], &[1])), "does not fit"),
        ("a product beyond 64 bits", pickle(&tensor(6, 0, &[255; 9], &[1; 9])), "does not fit"),
        ("repeated rows", pickle(&tensor(6, 0, &[2, 3], &[0, 1])), "has the strides [0, 1]"),
        ("too few strides", pickle(&tensor(6, 0, &[2, 3], &[1])), "has the strides [1]"),
    ] {
        let found = open(&archive(&program));
        assert!(found.contains(part), "{what}: {found}");
    }

    // Archives.
    let program = pickle(&tensor(6, 0, &[6], &[1]));
    let names: Vec<String> = (0..10_000).map(|at| format!("m/data/{at}")).collect();
    let many: Vec<(&str, &[u8], u16)> = names.iter().map(|name| (name.as_str(), &[][..], 0)).collect();
    let overlapping = {
        // The second entry begins within the first.
        let inner = zip(&[("m/data/0", &FLOATS, 0)]);
        let mut outer =
            zip(&[("m/data.pkl", &program, 0), ("x", &inner[..inner.len() - 22], 0), ("m/data/0", &FLOATS, 0)]);
        let place = outer.windows(4).position(|part| part == b"PK\x03\x04").expect("a header");
        let nested =
            outer.windows(4).enumerate().filter(|(_, part)| *part == b"PK\x03\x04").nth(2).expect("a header").0;
        let entry = outer.len() - 22 - 46 - 8;
        outer[entry + 42..entry + 46].copy_from_slice(&u32::try_from(nested - place).expect("small").to_le_bytes());
        outer
    };
    let replaced = |old: &[u8], new: &[u8]| {
        let at = whole.windows(old.len()).rposition(|part| part == old).expect("it is there");
        [&whole[..at], new, &whole[at + old.len()..]].concat()
    };
    for (what, bytes, part) in [
        ("a zip bomb", zip(&[("m/data.pkl", &program, 8), ("m/data/0", &FLOATS, 0)]), "compressed or encrypted"),
        ("10,000 entries", zip(&many), "10000 entries"),
        ("overlapping entries", overlapping, "overlap"),
        ("two entries of one name", zip(&[("m/data.pkl", &program, 0), ("m/data.pkl", &program, 0)]), "two entries"),
        ("two pickles", zip(&[("m/data.pkl", &program, 0), ("n/data.pkl", &program, 0)]), "one data.pkl"),
        ("no pickle", zip(&[("m/data/0", &FLOATS, 0)]), "one data.pkl"),
        ("no storage", zip(&[("m/data.pkl", &program, 0)]), "the storage 0, which is missing"),
        ("another byte order", zip(&[("m/data.pkl", &program, 0), ("m/byteorder", b"big", 0)]), "little-endian"),
        ("a size beyond the archive", replaced(&[24, 0, 0, 0, 24, 0, 0, 0], &[24, 0, 0, 9, 24, 0, 0, 9]), "not within"),
        (
            "a directory beyond the end",
            replaced(b"PK\x05\x06\0\0\0\0\x02\0\x02\0\x6e", b"PK\x05\x06\0\0\0\0\x02\0\x02\0\xff"),
            "damaged",
        ),
        (
            "more entries than there are",
            replaced(b"PK\x05\x06\0\0\0\0\x02\0\x02\0", b"PK\x05\x06\0\0\0\0\x03\0\x03\0"),
            "damaged",
        ),
        ("an archive cut off", whole[..whole.len() / 2].to_vec(), "not a file of torch.save"),
        ("no archive", b"pickle".to_vec(), "not a file of torch.save"),
        ("an empty file", vec![], "not a file of torch.save"),
    ] {
        let found = open(&bytes);
        assert!(found.contains(part), "{what}: {found}");
    }

    // Every file that is cut off, in both formats.
    for stored in [whole.clone(), std::fs::read(root().join("torch/legacy.bin")).expect("it is read")] {
        for length in (0..stored.len()).step_by(5) {
            open(&stored[..length]);
        }
    }
    for (file, part) in [("columns", "has the strides [6, 2]"), ("checkpoint", "the value of \"step\" is not a tensor")]
    {
        let found = error(&root().join(format!("torch/{file}.bin")));
        assert!(found.contains(part), "{found}");
    }
}
