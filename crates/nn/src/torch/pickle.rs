//! A pickle that describes tensors. Pickles are programs; this reader knows the instructions, classes and functions
//! that a dictionary of tensors needs, runs none of them, and refuses every other by name.

use super::{Outcome, STORAGES, malformed};
use netwright_ir::ElementType;
use std::collections::BTreeMap;

/// The largest number of values, including those that the pickle discards.
const MAX_VALUES: usize = 1 << 20;

/// The longest string, in bytes.
const MAX_TEXT: usize = 1024;

/// The largest number of sizes of a tensor, and of arguments of a function.
const MAX_ITEMS: usize = 64;

/// A tensor as it is described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Described {
    pub(super) element: ElementType,
    /// The entry of its storage.
    pub(super) key: String,
    /// The number of elements of the storage.
    pub(super) numel: u64,
    /// The index of the first element in the storage.
    pub(super) offset: u64,
    pub(super) dims: Vec<u64>,
    pub(super) strides: Vec<u64>,
}

/// What a name in the pickle stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    OrderedDict,
    Size,
    /// Both functions return a tensor of a storage, an offset, a size and strides.
    RebuildTensor,
    RebuildParameter,
    Storage(ElementType),
}

/// A value. Containers refer to others by index, so that none is copied or contains itself.
#[derive(Debug)]
enum Value {
    None,
    Bool(bool),
    Number(i64),
    Text(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Known(Known),
    Storage { element: ElementType, key: String, numel: u64 },
    Tensor(Described),
}

type Id = usize;

/// The machine of a pickle.
struct Machine<'p> {
    rest: &'p [u8],
    values: Vec<Value>,
    stack: Vec<Id>,
    /// The lengths of the stack at marks.
    marks: Vec<usize>,
    memo: BTreeMap<u64, Id>,
}

/// Reads a pickle at the start of `bytes`, and takes it off them.
fn load<'p>(bytes: &mut &'p [u8]) -> Outcome<(Machine<'p>, Id)> {
    let mut machine = Machine { rest: bytes, values: vec![], stack: vec![], marks: vec![], memo: BTreeMap::new() };
    let root = machine.run()?;
    *bytes = machine.rest;
    Ok((machine, root))
}

/// Reads the tensors of a dictionary by name.
pub(super) fn tensors(bytes: &mut &[u8]) -> Outcome<BTreeMap<String, Described>> {
    let (machine, root) = load(bytes)?;
    let Value::Dict(pairs) = &machine.values[root] else {
        return malformed("the pickle is not a dictionary of tensors");
    };
    let mut tensors = BTreeMap::new();
    for (key, value) in pairs {
        let Value::Text(name) = &machine.values[*key] else {
            return malformed("the pickle is not a dictionary of tensors: a key is not a string");
        };
        let Value::Tensor(tensor) = &machine.values[*value] else {
            return malformed(format!(
                "the value of {name:?} is not a tensor\n  help: save only the weights, with save_pretrained or \
                 torch.save(model.state_dict(), …)"
            ));
        };
        if tensors.insert(name.clone(), tensor.clone()).is_some() {
            return malformed(format!("the pickle has two weights {name}"));
        }
    }
    Ok(tensors)
}

/// Reads a list of strings.
pub(super) fn texts(bytes: &mut &[u8]) -> Outcome<Vec<String>> {
    let (machine, root) = load(bytes)?;
    let Value::List(items) = &machine.values[root] else { return damaged() };
    let text = |id: &Id| match &machine.values[*id] {
        Value::Text(text) => Ok(text.clone()),
        _ => damaged(),
    };
    items.iter().map(text).collect()
}

/// Reads the flag of a dictionary.
pub(super) fn flag(bytes: &mut &[u8], name: &str) -> Outcome<Option<bool>> {
    let (machine, root) = load(bytes)?;
    let Value::Dict(pairs) = &machine.values[root] else { return damaged() };
    let is_key = |key: Id| matches!(&machine.values[key], Value::Text(text) if text == name);
    let value = pairs.iter().find(|(key, _)| is_key(*key)).map(|(_, value)| &machine.values[*value]);
    Ok(if let Some(Value::Bool(flag)) = value { Some(*flag) } else { None })
}

/// The error of a pickle that ends early or does what no pickle of tensors does.
fn damaged<T>() -> Outcome<T> {
    malformed("the pickle is cut off or damaged")
}

impl Machine<'_> {
    /// Reads the next bytes.
    fn take(&mut self, count: usize) -> Outcome<&[u8]> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else { return damaged() };
        self.rest = rest;
        Ok(taken)
    }

    /// Reads a little-endian number.
    fn number(&mut self, bytes: usize) -> Outcome<u64> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// Reads a string of so many bytes.
    fn text(&mut self, bytes: u64) -> Outcome<String> {
        let bytes = self.take(usize::try_from(bytes).unwrap_or(usize::MAX))?;
        if bytes.len() > MAX_TEXT {
            return malformed(format!("the pickle has a string of {} bytes, but may have {MAX_TEXT}", bytes.len()));
        }
        std::str::from_utf8(bytes).map_or_else(|_| damaged(), |text| Ok(text.to_owned()))
    }

    /// Reads up to the end of a line.
    fn line(&mut self) -> Outcome<String> {
        let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') else { return damaged() };
        let line = self.text(end as u64)?;
        self.take(1)?;
        Ok(line)
    }

    fn push(&mut self, value: Value) -> Outcome<()> {
        if self.values.len() == MAX_VALUES {
            return malformed(format!("the pickle has more than {MAX_VALUES} values"));
        }
        self.stack.push(self.values.len());
        self.values.push(value);
        Ok(())
    }

    /// Takes a value from the stack; values before the last mark stay.
    fn pop(&mut self) -> Outcome<Id> {
        let least = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= least {
            return damaged();
        }
        self.stack.pop().map_or_else(damaged, Ok)
    }

    /// Takes the values after the last mark, and the mark.
    fn pop_mark(&mut self) -> Outcome<Vec<Id>> {
        let Some(mark) = self.marks.pop().filter(|mark| *mark <= self.stack.len()) else { return damaged() };
        Ok(self.stack.split_off(mark))
    }

    fn top(&self) -> Outcome<Id> {
        self.stack.last().map_or_else(damaged, |id| Ok(*id))
    }

    /// Runs to the end, and returns the result.
    fn run(&mut self) -> Outcome<Id> {
        loop {
            let instruction = self.number(1)?;
            match u8::try_from(instruction).unwrap_or(0) {
                b'.' => return self.pop(),
                // PROTO
                0x80 => match self.number(1)? {
                    2 | 3 => {}
                    other => return malformed(format!("the pickle has protocol {other}, but torch.save writes 2")),
                },
                b'(' => self.marks.push(self.stack.len()),
                b'0' => _ = self.pop()?,
                b'N' => self.push(Value::None)?,
                flag @ (0x88 | 0x89) => self.push(Value::Bool(flag == 0x88))?,
                b'}' => self.push(Value::Dict(vec![]))?,
                b']' => self.push(Value::List(vec![]))?,
                b')' => self.push(Value::Tuple(vec![]))?,
                b't' => {
                    let items = self.pop_mark()?;
                    self.push(Value::Tuple(items))?;
                }
                // TUPLE1 to TUPLE3
                count @ 0x85..=0x87 => {
                    let mut items = (0x84..count).map(|_| self.pop()).collect::<Outcome<Vec<Id>>>()?;
                    items.reverse();
                    self.push(Value::Tuple(items))?;
                }
                b'K' => self.push_number(1)?,
                b'M' => self.push_number(2)?,
                b'J' => {
                    let raw = u32::try_from(self.number(4)?).unwrap_or(0);
                    self.push(Value::Number(raw.cast_signed().into()))?;
                }
                // LONG1
                0x8a => {
                    let bytes = self.number(1)?;
                    if bytes > 8 {
                        return malformed("the pickle has an integer of more than 64 bits");
                    }
                    let unused = 64 - 8 * u32::try_from(bytes).unwrap_or(0);
                    let raw = self.number(usize::try_from(bytes).unwrap_or(0))?;
                    let number = raw.checked_shl(unused).map_or(0, |raw| raw.cast_signed() >> unused);
                    self.push(Value::Number(number))?;
                }
                // BINFLOAT: no tensor is described by one.
                b'G' => {
                    self.take(8)?;
                    self.push(Value::None)?;
                }
                b'X' => self.push_text(4)?,
                b'U' | 0x8c => self.push_text(1)?,
                b'q' => self.remember(1)?,
                b'r' => self.remember(4)?,
                b'h' => self.recall(1)?,
                b'j' => self.recall(4)?,
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.push(Value::Known(known(&module, &name)?))?;
                }
                b'Q' => self.storage()?,
                b'R' => self.reduce()?,
                b'b' => self.build()?,
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.extend(vec![key, value], true)?;
                }
                b'u' => {
                    let items = self.pop_mark()?;
                    self.extend(items, true)?;
                }
                b'a' => {
                    let item = self.pop()?;
                    self.extend(vec![item], false)?;
                }
                b'e' => {
                    let items = self.pop_mark()?;
                    self.extend(items, false)?;
                }
                other => {
                    let name = OTHERS.iter().find(|(code, _)| *code == other).map_or("unknown", |(_, name)| name);
                    return malformed(format!(
                        "the pickle has the instruction {name} ({other:#04x}), which no file of tensors needs\n  help: do \
                         not load the file if you do not trust its source; otherwise save the model again as safetensors"
                    ));
                }
            }
        }
    }

    fn push_number(&mut self, bytes: usize) -> Outcome<()> {
        let number = self.number(bytes)?.cast_signed();
        self.push(Value::Number(number))
    }

    fn push_text(&mut self, bytes: usize) -> Outcome<()> {
        let length = self.number(bytes)?;
        let text = self.text(length)?;
        self.push(Value::Text(text))
    }

    fn remember(&mut self, bytes: usize) -> Outcome<()> {
        let key = self.number(bytes)?;
        self.memo.insert(key, self.top()?);
        if self.memo.len() > MAX_VALUES {
            return malformed(format!("the pickle has more than {MAX_VALUES} values"));
        }
        Ok(())
    }

    fn recall(&mut self, bytes: usize) -> Outcome<()> {
        let key = self.number(bytes)?;
        let Some(id) = self.memo.get(&key) else { return damaged() };
        self.stack.push(*id);
        // Each use counts, so that few bytes do not stand for many values.
        if self.stack.len() > MAX_VALUES {
            return malformed(format!("the pickle has more than {MAX_VALUES} values"));
        }
        Ok(())
    }

    /// Adds pairs to the dictionary, or items to the list, on top of the stack.
    fn extend(&mut self, items: Vec<Id>, is_pairs: bool) -> Outcome<()> {
        let id = self.top()?;
        match &mut self.values[id] {
            Value::Dict(pairs) if is_pairs && items.len().is_multiple_of(2) => {
                pairs.extend(items.as_chunks::<2>().0.iter().map(|[key, value]| (*key, *value)));
            }
            Value::List(list) if !is_pairs => list.extend(items),
            _ => return damaged(),
        }
        Ok(())
    }

    /// Returns the values of a tuple.
    fn tuple(&self, id: Id) -> Outcome<Vec<&Value>> {
        match &self.values[id] {
            Value::Tuple(items) if items.len() <= MAX_ITEMS => Ok(items.iter().map(|id| &self.values[*id]).collect()),
            _ => damaged(),
        }
    }

    /// Replaces the description of a storage with the storage.
    fn storage(&mut self) -> Outcome<()> {
        let id = self.pop()?;
        let storage = match self.tuple(id)?[..] {
            [
                Value::Text(tag),
                Value::Known(Known::Storage(element)),
                Value::Text(key),
                Value::Text(_),
                Value::Number(numel),
                ref view @ ..,
            ] if tag == "storage" && matches!(view, [] | [Value::None]) => {
                let Ok(numel) = u64::try_from(*numel) else { return damaged() };
                Value::Storage { element: *element, key: key.clone(), numel }
            }
            _ => return malformed("the pickle refers to something that is not a storage"),
        };
        self.push(storage)
    }

    /// Calls a known function.
    fn reduce(&mut self) -> Outcome<()> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let &Value::Known(function) = &self.values[function] else { return malformed("the pickle calls a value") };
        let items = self.tuple(arguments)?;
        let value = match (function, &items[..]) {
            (Known::OrderedDict, []) => Value::Dict(vec![]),
            (
                Known::RebuildTensor,
                [
                    Value::Storage { element, key, numel },
                    Value::Number(offset),
                    Value::Tuple(dims),
                    Value::Tuple(strides),
                    ..,
                ],
            ) => Value::Tensor(Described {
                element: *element,
                key: key.clone(),
                numel: *numel,
                offset: u64::try_from(*offset).or_else(|_| damaged())?,
                dims: self.sizes(dims)?,
                strides: self.sizes(strides)?,
            }),
            (Known::RebuildParameter, [Value::Tensor(tensor), ..]) => Value::Tensor(tensor.clone()),
            (Known::Size, [Value::Tuple(sizes)]) if sizes.len() <= MAX_ITEMS => Value::Tuple(sizes.clone()),
            _ => {
                return malformed(format!("the pickle calls {function:?} with other arguments than torch.save writes"));
            }
        };
        self.push(value)
    }

    /// Returns the sizes of a tensor.
    fn sizes(&self, ids: &[Id]) -> Outcome<Vec<u64>> {
        let size = |id: &Id| match &self.values[*id] {
            Value::Number(number) => u64::try_from(*number).or_else(|_| damaged()),
            _ => damaged(),
        };
        if ids.len() > MAX_ITEMS { damaged() } else { ids.iter().map(size).collect() }
    }

    /// Discards the attributes of a dictionary: `state_dict` has one, the versions of its modules.
    fn build(&mut self) -> Outcome<()> {
        let (state, target) = (self.pop()?, self.top()?);
        match (&self.values[state], &self.values[target]) {
            (Value::Dict(_), Value::Dict(_)) => Ok(()),
            _ => malformed("the pickle sets attributes of something that is not a dictionary"),
        }
    }
}

/// Returns what a name stands for.
fn known(module: &str, name: &str) -> Outcome<Known> {
    Ok(match (module, name) {
        ("collections", "OrderedDict") => Known::OrderedDict,
        ("torch", "Size") => Known::Size,
        ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Known::RebuildTensor,
        ("torch._utils", "_rebuild_parameter") => Known::RebuildParameter,
        _ => {
            let storage = STORAGES.iter().find(|(storage, _)| module == "torch" && *storage == name);
            let Some((_, element)) = storage else {
                return malformed(format!(
                    "the pickle refers to {module}.{name}, which no file of tensors needs\n  help: do not load the file \
                     if you do not trust its source; otherwise save the model again as safetensors"
                ));
            };
            Known::Storage(*element)
        }
    })
}

/// The other instructions of pickles.
const OTHERS: [(u8, &str); 30] = [
    (b'1', "POP_MARK"),
    (b'2', "DUP"),
    (b'B', "BINBYTES"),
    (b'C', "SHORT_BINBYTES"),
    (b'F', "FLOAT"),
    (b'I', "INT"),
    (b'L', "LONG"),
    (b'P', "PERSID"),
    (b'S', "STRING"),
    (b'T', "BINSTRING"),
    (b'V', "UNICODE"),
    (b'd', "DICT"),
    (b'g', "GET"),
    (b'i', "INST"),
    (b'l', "LIST"),
    (b'o', "OBJ"),
    (b'p', "PUT"),
    (0x81, "NEWOBJ"),
    (0x82, "EXT1"),
    (0x83, "EXT2"),
    (0x84, "EXT4"),
    (0x8b, "LONG4"),
    (0x8d, "BINUNICODE8"),
    (0x8e, "BINBYTES8"),
    (0x8f, "EMPTY_SET"),
    (0x90, "ADDITEMS"),
    (0x91, "FROZENSET"),
    (0x92, "NEWOBJ_EX"),
    (0x93, "STACK_GLOBAL"),
    (0x94, "MEMOIZE"),
];
