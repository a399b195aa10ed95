//! Relations between the symbols of a model's inputs that the model does not declare.
//!
//! An export often declares the length of a mask only as `past_plus_seq`. The meanings of such names are tried: the
//! first [`Relations`] with which the first model runs is used and reported.

use crate::bindings::{is_batch, is_past, symbols};
use crate::file::{ModelFile, Port, attribute, int};
use crate::uses::Graphs;
use netwright_ir::{Dim, ElementType, Symbol};
use std::collections::{BTreeMap, BTreeSet};
use tract_onnx::pb::NodeProto;

/// Sizes of symbols, as expressions over other symbols.
pub(crate) type Relations = BTreeMap<Symbol, Dim>;

/// The largest number of relations to try: each may load the model again.
const MOST: usize = 12;

/// The room for the past in buffers whose use no symbol tells.
const PAST_IN_BUFFER: i64 = 8;

/// Returns the relations to try, the most likely first and none last; all include `given`, the dims of the user.
pub(crate) fn candidates(file: &ModelFile, given: &Relations) -> Vec<Relations> {
    let ports = file.inputs();
    let graphs = Graphs::new(&file.graph);
    let all = symbols(&ports);
    let with = |relations: &[&Relations]| {
        let mut merged = given.clone();
        for (symbol, dim) in relations.iter().copied().flatten() {
            let mut own = BTreeSet::new();
            dim.for_each_symbol(&mut |other| _ = own.insert(other.clone()));
            // A relation must not depend on itself through the dims of the user.
            if own.iter().all(|other| all.contains(other) && other != symbol) {
                merged.entry(symbol.clone()).or_insert_with(|| dim.clone());
            }
        }
        merged
    };
    let (buffers, has_grouped) = buffers(file, &ports, &graphs);
    let mut named = by_name(&ports);
    named.extend(buffers);
    let fixed = by_constants(&ports, &graphs);
    let one_token = new_tokens(&ports).filter(|_| past(&ports).is_some() || has_grouped);
    let one_token = one_token.map(|symbol| Relations::from([(symbol, Dim::Known(1))])).unwrap_or_default();
    let none = Relations::new();
    let mut found: Vec<Relations> = vec![];
    if has_grouped {
        found.push(with(&[&one_token, &named, &fixed]));
    }
    let spatial = images(&ports, &graphs, &fixed);
    for image in spatial.iter().chain([&none]) {
        found.push(with(&[&named, &fixed, image]));
    }
    found.push(with(&[&one_token, &named, &fixed]));
    found.push(with(&[&fixed]));
    found.push(with(&[&one_token, &fixed]));
    found.push(with(&[&undeclared(&ports), &named, &fixed]));
    let (batches, lengths) = by_place(&ports);
    found.push(with(&[&batches, &named, &fixed]));
    found.push(with(&[&batches, &lengths, &named, &fixed]));
    found.push(given.clone());
    let mut distinct: Vec<Relations> = vec![];
    for relations in found {
        if !distinct.contains(&relations) {
            distinct.push(relations);
        }
    }
    let plain = distinct.pop();
    distinct.truncate(MOST - 1);
    distinct.extend(plain);
    distinct
}

/// Returns the dims of an input.
fn dims(port: &Port) -> &[Dim] {
    port.ty.as_ref().and_then(|ty| ty.shape.as_ref()).map_or(&[], |shape| shape)
}

fn symbol(dim: &Dim) -> Option<&Symbol> {
    if let Dim::Symbol(symbol) = dim { Some(symbol) } else { None }
}

/// Returns the number of new tokens: the length of the ids or embeddings.
pub(crate) fn tokens(ports: &[Port]) -> Option<&Dim> {
    let is_tokens = |port: &&Port| {
        let name = port.name.to_lowercase();
        let is_input = ["input_ids", "inputs_embeds", "tokens", "ids"].iter().any(|word| name.ends_with(word));
        is_input && dims(port).len() >= 2
    };
    let is_decoder = |port: &&Port| port.name.contains("decoder");
    let port = ports.iter().filter(is_tokens).find(is_decoder).or_else(|| ports.iter().find(is_tokens))?;
    dims(port).get(1)
}

fn past(ports: &[Port]) -> Option<Symbol> {
    symbols(ports).into_iter().find(is_past)
}

/// Returns the symbol of the number of new tokens.
fn new_tokens(ports: &[Port]) -> Option<Symbol> {
    symbol(tokens(ports)?).cloned()
}

/// Derives the length of buffers for keys and values, which have room for past and new tokens. Also returns whether
/// GroupQueryAttention reads them: it takes several tokens after a past only for a batch of one.
fn buffers(file: &ModelFile, ports: &[Port], graphs: &Graphs<'_>) -> (Relations, bool) {
    let length = |port: &Port| dims(port).get(2).cloned();
    let (mut relations, mut has_grouped) = (Relations::new(), false);
    let Some(tokens) = tokens(ports) else { return (relations, has_grouped) };
    // Without a mask, the length of the past is the value of an input.
    let room = past(ports).map_or(Dim::Known(PAST_IN_BUFFER), Dim::Symbol).plus(tokens);
    for port in ports {
        for &(node, place) in graphs.users(&port.name) {
            let (is_grouped, present) = match (node.op_type.as_str(), place) {
                ("GroupQueryAttention", 3 | 4) => (true, node.output.get(place - 2)),
                ("MultiHeadAttention", 6 | 7) => (false, node.output.get(place - 5)),
                _ => continue,
            };
            let present = file.outputs().iter().find(|output| Some(&output.name) == present);
            let Some(Dim::Symbol(symbol)) = length(port).filter(|own| present.and_then(length).as_ref() == Some(own))
            else {
                continue;
            };
            relations.insert(symbol, room.clone());
            has_grouped |= is_grouped;
        }
    }
    (relations, has_grouped)
}

/// Derives sums from names: `past_plus_seq`, `total_sequence_length`, the length of a mask of a model with a past.
fn by_name(ports: &[Port]) -> Relations {
    let all = symbols(ports);
    let mut relations = Relations::new();
    let total = past(ports).zip(tokens(ports)).map(|(past, tokens)| Dim::Symbol(past).plus(tokens));
    for symbol in all.iter().filter(|symbol| !is_batch(symbol.as_str())) {
        let name = symbol.as_str().to_lowercase();
        let parts: Vec<&str> = if name.contains("_plus_") {
            name.split("_plus_").collect()
        } else {
            name.split('+').map(str::trim).collect()
        };
        let sum = (parts.len() > 1).then(|| part_sum(&parts, symbol, &all)).flatten();
        let is_total = ["total", "kv_len", "key_len", "past_and"].iter().any(|word| name.contains(word));
        let sum = sum.or_else(|| total.clone().filter(|_| is_total || masks(ports, symbol)));
        if let Some(sum) = sum {
            relations.insert(symbol.clone(), sum);
        }
    }
    relations
}

/// Returns the sum of the symbols that start with these words, or of numbers.
fn part_sum(parts: &[&str], whole: &Symbol, all: &BTreeSet<Symbol>) -> Option<Dim> {
    let term = |part: &&str| {
        if let Ok(number) = part.parse() {
            return Some(Dim::Known(number));
        }
        let own = |symbol: &&Symbol| *symbol != whole;
        let lower = |symbol: &Symbol| symbol.as_str().to_lowercase();
        let exact = all.iter().filter(own).find(|symbol| lower(symbol) == *part);
        let found = exact.or_else(|| all.iter().filter(own).find(|symbol| lower(symbol).starts_with(part)));
        found.map(|symbol| Dim::Symbol(symbol.clone()))
    };
    parts.iter().map(term).try_fold(Dim::Known(0), |sum, term| Some(sum.plus(&term?)))
}

/// Returns whether a symbol is only the length of a mask of keys.
fn masks(ports: &[Port], symbol: &Symbol) -> bool {
    let last = |port: &Port| dims(port).last().and_then(self::symbol) == Some(symbol);
    let has = |port: &Port| dims(port).iter().any(|dim| self::symbol(dim) == Some(symbol));
    let is_mask = |port: &Port| {
        let name = port.name.to_lowercase();
        name.contains("mask") && !name.contains("encoder")
    };
    ports.iter().any(|port| is_mask(port) && last(port)) && ports.iter().all(|port| is_mask(port) || !has(port))
}

/// Derives undeclared axes: the first is the batch, the second the tokens.
fn undeclared(ports: &[Port]) -> Relations {
    let own = |port: &Port, axis: usize| Symbol::new(format!("{}.{axis}", port.name));
    let mut relations = Relations::new();
    let first: Vec<Option<&Dim>> = (0..2).map(|axis| ports.iter().find_map(|port| dims(port).get(axis))).collect();
    for port in ports {
        for (axis, dim) in dims(port).iter().enumerate().take(2) {
            let is_own = symbol(dim) == Some(&own(port, axis));
            match first[axis] {
                Some(shared) if is_own && shared != dim => _ = relations.insert(own(port, axis), shared.clone()),
                _ => {}
            }
        }
    }
    relations
}

/// Relates the symbols of the first axes of inputs, and those of the second axes of ids and masks: an exporter may give each
/// input symbols of its own. Returns the relations of batches and those of lengths.
fn by_place(ports: &[Port]) -> (Relations, Relations) {
    let same = |axis: usize, is_one: &dyn Fn(&Port) -> bool| {
        let mut symbols = ports.iter().filter(|port| is_one(port)).filter_map(|port| symbol(dims(port).get(axis)?));
        let Some(first) = symbols.next() else { return Relations::new() };
        symbols.filter(|other| *other != first).map(|other| (other.clone(), Dim::Symbol(first.clone()))).collect()
    };
    let is_of_tokens =
        |port: &Port| dims(port).len() == 2 && port.ty.as_ref().is_some_and(|ty| ty.element == ElementType::I64);
    (same(0, &|_| true), same(1, &is_of_tokens))
}

/// Returns the nodes that use an input directly, or after a cast.
fn direct<'m>(graphs: &Graphs<'m>, port: &'m Port) -> Vec<(&'m NodeProto, usize)> {
    let mut names = vec![port.name.as_str()];
    let mut found = vec![];
    while let Some(name) = names.pop() {
        for &(node, place) in graphs.users(name) {
            if matches!(node.op_type.as_str(), "Cast" | "Identity") {
                names.extend(node.output.iter().map(String::as_str));
            }
            found.push((node, place));
        }
    }
    found
}

/// Derives sizes from the constants with which an input is convolved, multiplied or added.
fn by_constants(ports: &[Port], graphs: &Graphs<'_>) -> Relations {
    let mut relations = Relations::new();
    for port in ports {
        let rank = dims(port).len();
        let mut fix = |axis: Option<usize>, size: i64| {
            let symbol = axis.and_then(|axis| dims(port).get(axis)).and_then(symbol);
            if let Some(symbol) = symbol.filter(|symbol| !is_batch(symbol.as_str())) {
                relations.entry(symbol.clone()).or_insert(Dim::Known(size));
            }
        };
        for (node, place) in direct(graphs, port) {
            let other = node.input.get(1).filter(|_| place == 0).and_then(|name| graphs.sizes(name));
            match (node.op_type.as_str(), other.as_deref()) {
                ("Conv", Some([_, channels, _, ..])) => {
                    fix(Some(1), channels * int(node, "group").unwrap_or(1));
                }
                ("MatMul", Some([inner, _])) => fix(rank.checked_sub(1), *inner),
                ("LayerNormalization" | "RMSNormalization" | "SimplifiedLayerNormalization", Some([size])) => {
                    fix(rank.checked_sub(1), *size);
                }
                ("Gemm", Some([rows, columns])) if int(node, "transA").unwrap_or(0) == 0 => {
                    let is_transposed = int(node, "transB").unwrap_or(0) != 0;
                    fix(Some(1), if is_transposed { *columns } else { *rows });
                }
                _ => {}
            }
            if matches!(node.op_type.as_str(), "Add" | "Mul" | "Sub" | "Div") {
                let constant = node.input.iter().find_map(|name| graphs.sizes(name));
                for (back, &size) in constant.iter().flatten().rev().enumerate().filter(|(_, size)| **size > 1) {
                    fix(rank.checked_sub(back + 1), size);
                }
            }
        }
    }
    relations
}

/// Derives sizes of images and audio for which the number of patches matches a table of positions.
fn images(ports: &[Port], graphs: &Graphs<'_>, fixed: &Relations) -> Vec<Relations> {
    for port in ports {
        let conv = direct(graphs, port).into_iter().find(|(node, place)| node.op_type == "Conv" && *place == 0);
        let Some((conv, _)) = conv else { continue };
        let Some(kernel) = conv.input.get(1).and_then(|name| graphs.sizes(name)) else { continue };
        let free = |dim: &Dim| symbol(dim).filter(|symbol| !fixed.contains_key(*symbol)).cloned();
        let spatial: Vec<Symbol> = dims(port).iter().skip(2).filter_map(free).collect();
        let Some((&size, &channels)) = kernel.get(2).zip(kernel.first()) else { continue };
        let stride = attribute(conv, "strides").and_then(|strides| strides.ints.first()).copied().unwrap_or(1);
        // A table of positions has a row per patch, and maybe a few more; it is as wide as the convolution.
        let tables = graphs.constants().filter_map(|tensor| match tensor.dims[..] {
            [rows, width] | [1, rows, width] if width == channels && rows > 3 => Some(rows),
            _ => None,
        });
        let tables: BTreeSet<i64> = tables.collect();
        let lengths: BTreeSet<i64> = match spatial.len() {
            1 => tables.iter().flat_map(|rows| [rows * stride, rows * stride * 2]).collect(),
            2 if tables.is_empty() => BTreeSet::from([size + stride * 3]),
            2 => {
                let sides = tables.iter().flat_map(|rows| (0..3).map(move |more| rows - more));
                let sides = sides.filter_map(|patches| {
                    let side = patches.isqrt();
                    (side * side == patches).then_some(size + stride * (side - 1))
                });
                sides.collect()
            }
            _ => continue,
        };
        let all = |length: i64| spatial.iter().map(|symbol| (symbol.clone(), Dim::Known(length))).collect();
        return lengths.into_iter().filter(|&length| length > 0).map(all).take(6).collect();
    }
    vec![]
}

/// Describes the relations, except those of the user.
pub(crate) fn describe(relations: &Relations, given: &Relations) -> Option<String> {
    let own = relations.iter().filter(|(symbol, _)| !given.contains_key(*symbol));
    let words: Vec<String> = own.map(|(symbol, dim)| format!("{symbol} = {dim}")).collect();
    (!words.is_empty())
        .then(|| format!("sizes derived from names, axes and constants (--dim overrides them): {}", words.join(", ")))
}
