//! Tests of rotary embeddings: fused, with heads, and decomposed.

use super::check_pass;
use netwright::ir::{Graph, parse};

fn graph(inputs: &str, body: &str) -> Graph {
    let text = format!("g({inputs}) {{\n{body}\n}}");
    parse(&text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
}

const TURNED: &str = "%half = matmul %at, %frequency : f32[s, 4]
    %whole = concat %half, %OTHER {axis = -1} : f32[s, 8]
    %cos = cos %whole : f32[s, 8]
    %sin = sin %whole : f32[s, 8]";

#[test]
fn fuse_rotary_embedding() {
    let inputs = "%x: f32[b, 4, s, 8], %at: f32[s, 1], %frequency: f32[1, 4], %long: f32[b, 4, s, 12]";
    let turn = "%one, %two = split %x, [4, 4] {axis = 3} : f32[b, 4, s, 4], f32[b, 4, s, 4]
        %minus = neg %MINUS : f32[b, 4, s, 4]
        %turned = concat %minus, %PLUS {axis = -1} : f32[b, 4, s, 8]
        %a = mul %x, %cos : f32[b, 4, s, 8]
        %c = mul %turned, %sin : f32[b, 4, s, 8]
        %y = add %a, %c : f32[b, 4, s, 8]";
    for (case, other, minus, plus, rest) in [
        ("turned_halves", "half", "two", "one", "return %y"),
        ("turned_the_other_way", "half", "one", "two", "return %y"),
        ("halves_of_their_own", "angle", "two", "one", "return %y"),
        ("turned_and_read", "half", "two", "one", "return %y, %turned"),
    ] {
        let angle = if other == "angle" { "%angle = exp %half : f32[s, 4]\n" } else { "" };
        let tables = TURNED.replace("%OTHER", &format!("%{other}"));
        let (first, tables) = tables.split_once('\n').expect("several lines");
        let turn = turn.replace("MINUS", minus).replace("PLUS", plus);
        let body = format!("{first}\n{angle}{tables}\n{turn}\n{rest}");
        check_pass(case, "fuse-rotary-embedding", &graph(inputs, &body));
    }
    // A length of 1 on one side is broadcast where the halves are multiplied; the operator takes equal lengths only.
    let tables = TURNED.replace("%OTHER", "%half");
    let turn = turn.replace("MINUS", "two").replace("PLUS", "one");
    let of_length_1 = tables.replace("f32[s,", "f32[1,");
    let case = graph(&inputs.replace("%at: f32[s, 1]", "%at: f32[1, 1]"), &format!("{of_length_1}\n{turn}\nreturn %y"));
    check_pass("tables_of_length_1", "fuse-rotary-embedding", &case);
    let parts = ["one", "two", "minus", "turned"].map(|name| format!("%{name} "));
    let turn_1: Vec<String> = turn
        .lines()
        .map(|line| {
            let is_part = parts.iter().any(|part| line.trim_start().starts_with(part)) || line.contains("%one, %two");
            if is_part { line.replace("4, s,", "4, 1,") } else { line.to_owned() }
        })
        .collect();
    let body = format!("{tables}\n{}\nreturn %y", turn_1.join("\n"));
    check_pass(
        "turned_at_length_1",
        "fuse-rotary-embedding",
        &graph(&inputs.replace("%x: f32[b, 4, s,", "%x: f32[b, 4, 1,"), &body),
    );
    let partial = "%first, %rest = split %long, [8, 4] {axis = 3} : f32[b, 4, s, 8], f32[b, 4, s, 4]
        %y = rotary_embedding %first, %table, %other : f32[b, 4, s, 8]
        %z = concat %y, %rest {axis = -1} : f32[b, 4, s, 12]
        return %z";
    let inputs = format!("{inputs}, %table: f32[b, s, 4], %other: f32[b, s, 4]");
    check_pass("turned_in_part", "fuse-rotary-embedding", &graph(&inputs, partial));
}

const EXPORTED: &str = "%half = matmul %at, %frequency : f32[s, 4]
    %c = cos %half : f32[s, 4]
    %d = sin %half : f32[s, 4]
    %cos = gather %c, [0, 0, 1, 1, 2, 2, 3, 3] {axis = 1} : f32[s, 8]
    %sin = gather %d, [0, 0, 1, 1, 2, 2, 3, 3] {axis = 1} : f32[s, 8]
    %even = slice %x, [0], [9223372036854775807], [3], [2] : f32[b, 4, s, 4]
    %odd = slice %x, [1], [9223372036854775807], [3], [2] : f32[b, 4, s, 4]
    %minus = neg %odd : f32[b, 4, s, 4]
    %first = unsqueeze %minus, [-1] : f32[b, 4, s, 4, 1]
    %second = unsqueeze %even, [-1] : f32[b, 4, s, 4, 1]
    %pairs = concat %first, %second {axis = -1} : f32[b, 4, s, 4, 2]
    %turned = reshape %pairs, [0, 0, 0, 8] : f32[b, 4, s, 8]
    %a = mul %x, %cos : f32[b, 4, s, 8]
    %e = mul %turned, %sin : f32[b, 4, s, 8]
    %y = add %a, %e : f32[b, 4, s, 8]
    return %y";

const HALVES_OF_X: &str = "%even, %odd = split %x, [4, 4] {axis = 3} : f32[b, 4, s, 4], f32[b, 4, s, 4]";

fn check_fused(case: &str, inputs: &str, body: &str, changes: &[(&str, &str)]) {
    let mut body = body.to_owned();
    for (from, to) in changes {
        assert!(body.contains(from), "{case}: {from}");
        body = body.replace(from, to);
    }
    check_pass(case, "fuse-rotary-embedding", &graph(inputs, &body));
}

/// Pairs of neighbors, as PyTorch's exporters write them: GPT-J, Cohere.
#[test]
fn fuse_interleaved_rotary_embedding() {
    let inputs = "%x: f32[b, 4, s, 8], %at: f32[s, 1], %frequency: f32[1, 4]";
    let [even, odd] = ["%even = slice %x, [0]", "%odd = slice %x, [1]"];
    let [even, odd] = [even, odd].map(|slice| format!("{slice}, [9223372036854775807], [3], [2] : f32[b, 4, s, 4]"));
    let cos = "%cos = gather %c, [0, 0, 1, 1, 2, 2, 3, 3]";
    let joined_as_halves = [
        ("%first = unsqueeze %minus, [-1] : f32[b, 4, s, 4, 1]", ""),
        ("%second = unsqueeze %even, [-1] : f32[b, 4, s, 4, 1]", ""),
        ("%pairs = concat %first, %second {axis = -1} : f32[b, 4, s, 4, 2]", ""),
        (
            "%turned = reshape %pairs, [0, 0, 0, 8] : f32[b, 4, s, 8]",
            "%turned = concat %minus, %even {axis = -1} : f32[b, 4, s, 8]",
        ),
    ];
    let cases: [(&str, &[(&str, &str)]); 11] = [
        ("turned_neighbors", &[]),
        ("turned_neighbors_of_f16", &[("f32", "f16")]),
        ("neighbors_times_minus_one", &[("neg %odd", "mul -1.0, %odd")]),
        ("neighbors_swapped", &[("concat %first, %second", "concat %second, %first")]),
        ("neighbors_turned_the_other_way", &[("neg %odd", "neg %even"), ("unsqueeze %even", "unsqueeze %odd")]),
        ("halves_joined_as_neighbors", &[(&even, HALVES_OF_X), (&odd, "")]),
        ("neighbors_joined_as_halves", &joined_as_halves),
        ("cosines_of_halves", &[(cos, "%cos = gather %c, [0, 1, 2, 3, 0, 1, 2, 3]")]),
        ("cosines_of_other_angles", &[(cos, "%cos = gather %c, [0, 0, 1, 1, 2, 2, 3, 0]")]),
        ("cosines_in_another_order", &[(cos, "%cos = gather %c, [3, 3, 1, 1, 2, 2, 0, 0]")]),
        ("neighbors_that_are_read", &[("return %y", "return %y, %turned")]),
    ];
    for (case, changes) in cases {
        let inputs = if case.ends_with("f16") { inputs.replace("f32", "f16") } else { inputs.to_owned() };
        check_fused(case, &inputs, EXPORTED, changes);
    }
}

/// Sums and differences of the sides of each pair.
#[test]
fn fuse_rotary_embedding_by_sides() {
    let inputs = "%x: f32[b, 4, s, 8], %cos: f32[b, 1, s, 4], %sin: f32[b, 1, s, 4], %other: f32[b, 1, s, 4]";
    let halves = "%one, %two = split %x, [4, 4] {axis = 3} : f32[b, 4, s, 4], f32[b, 4, s, 4]
        %a = mul %one, %cos : f32[b, 4, s, 4]
        %c = mul %two, %sin : f32[b, 4, s, 4]
        %real = sub %a, %c : f32[b, 4, s, 4]
        %d = mul %sin, %one : f32[b, 4, s, 4]
        %e = mul %two, %cos : f32[b, 4, s, 4]
        %imaginary = add %e, %d : f32[b, 4, s, 4]
        %y = concat %real, %imaginary {axis = -1} : f32[b, 4, s, 8]
        return %y";
    let cases: [(&str, &[(&str, &str)]); 4] = [
        ("sides_of_halves", &[]),
        ("sides_with_another_sine", &[("mul %sin, %one", "mul %other, %one")]),
        ("sides_swapped", &[("concat %real, %imaginary", "concat %imaginary, %real")]),
        ("sides_with_two_sums", &[("sub %a, %c", "add %a, %c")]),
    ];
    for (case, changes) in cases {
        check_fused(case, inputs, halves, changes);
    }
    let columns = "%in = reshape %x, [0, 0, 0, 4, 2] : f32[b, 4, s, 4, 2]
        %one, %two = split %in, [1, 1] {axis = -1} : f32[b, 4, s, 4, 1], f32[b, 4, s, 4, 1]
        %cosines = unsqueeze %cos, [-1] : f32[b, 1, s, 4, 1]
        %sines = unsqueeze %sin, [-1] : f32[b, 1, s, 4, 1]
        %a = mul %one, %cosines : f32[b, 4, s, 4, 1]
        %c = mul %two, %sines : f32[b, 4, s, 4, 1]
        %real = sub %a, %c : f32[b, 4, s, 4, 1]
        %d = mul %one, %sines : f32[b, 4, s, 4, 1]
        %e = mul %two, %cosines : f32[b, 4, s, 4, 1]
        %imaginary = add %d, %e : f32[b, 4, s, 4, 1]
        %pairs = concat %real, %imaginary {axis = -1} : f32[b, 4, s, 4, 2]
        %y = reshape %pairs, [0, 0, 0, 8] : f32[b, 4, s, 8]
        return %y";
    let cases: [(&str, &[(&str, &str)]); 4] = [
        ("sides_of_neighbors", &[]),
        ("sides_of_neighbors_swapped", &[("%one, %two = split", "%two, %one = split")]),
        // A table in which the last axis was not inserted.
        ("sides_with_a_column", &[("%sines = unsqueeze %sin, [-1] :", "%sines = exp %column :")]),
        // Four elements apart.
        (
            "sides_in_another_order",
            &[(
                "%in = reshape %x, [0, 0, 0, 4, 2] :",
                "%across = reshape %x, [0, 0, 0, 2, 4] : f32[b, 4, s, 2, 4]\n%in = transpose %across {perm = [0, 1, 2, 4, 3]} :",
            )],
        ),
    ];
    let inputs = format!("{inputs}, %column: f32[b, 1, s, 4, 1]");
    for (case, changes) in cases {
        check_fused(case, &inputs, columns, changes);
    }
    let plain = columns.replace("f32[b, 4, s, 4, 1]", "f32[b, 4, s, 4]").replace("%cosines", "%cos");
    let plain = plain.replace("%sines", "%sin").replace("%real, %imaginary {", "%first, %second {");
    let cut = plain.find("%one, %two").expect("they are cut")..plain.find("%a = mul").expect("and multiplied");
    for (case, parts) in [
        (
            "sides_of_neighbors_squeezed",
            "%apart, %others = split %in, [1, 1] {axis = -1} : f32[b, 4, s, 4, 1], f32[b, 4, s, 4, 1]
             %one = squeeze %apart, [-1] : f32[b, 4, s, 4]
             %two = squeeze %others, [4] : f32[b, 4, s, 4]\n",
        ),
        (
            "sides_of_neighbors_gathered",
            "%one = gather %in, 0 {axis = -1} : f32[b, 4, s, 4]
             %two = gather %in, -1 {axis = 4} : f32[b, 4, s, 4]\n",
        ),
    ] {
        let mut body = plain.clone();
        body.replace_range(cut.clone(), parts);
        let columns = "%first = unsqueeze %real, [-1] : f32[b, 4, s, 4, 1]
             %second = unsqueeze %imaginary, [4] : f32[b, 4, s, 4, 1]
             %pairs =";
        check_fused(case, &inputs, &body, &[("%pairs =", columns)]);
    }
}

/// Heads after the length, as GPT-J has them, a table for all of them; and one that differs between them.
#[test]
fn fuse_rotary_embedding_of_other_layouts() {
    let inputs = "%x: f32[b, s, 4, 12], %c: f32[1, s, 4], %d: f32[1, s, 4]";
    let table = |name: &str, from: &str| {
        format!(
            "%{name}.one = unsqueeze %{from}, [2, 4] : f32[1, s, 1, 4, 1]
             %{name}.two = tile %{name}.one, [1, 1, 1, 1, 2] : f32[1, s, 1, 4, 2]
             %{name} = reshape %{name}.two, [1, 0, 1, 8] : f32[1, s, 1, 8]\n"
        )
    };
    let (_, turn) = EXPORTED.split_once("%even").expect("the tables come first");
    let turn = turn.replace("4, s,", "s, 4,").replace("%x", "%part");
    let turn = turn.replace("return %y", "");
    let body = format!(
        "{}{}%part, %rest = split %x, [8, 4] {{axis = 3}} : f32[b, s, 4, 8], f32[b, s, 4, 4]
         %even{turn}%z = concat %y, %rest {{axis = -1}} : f32[b, s, 4, 12]
         return %z",
        table("cos", "c"),
        table("sin", "d")
    );
    check_fused("heads_after_the_length", inputs, &body, &[]);
    check_fused("parts_in_another_order", inputs, &body, &[("concat %y, %rest", "concat %rest, %y")]);
    let inputs = "%x: f32[4, 4, s, 8], %c: f32[4, s, 4], %d: f32[4, s, 4]";
    let body = EXPORTED.split_once("%cos =").expect("the tables come first").1;
    let body = format!("%cos ={body}").replace("[b, 4, s,", "[4, 4, s,").replace("{axis = 1}", "{axis = 2}");
    check_fused("tables_that_differ_between_heads", inputs, &body, &[("f32[s, 8]", "f32[4, s, 8]")]);
}

#[test]
fn sink_heads_through_rotary() {
    let inputs = "%x: f32[b, s, 32], %cos: f32[b, s, 4], %sin: f32[b, s, 4]";
    let body = "%a = reshape %x, [0, 0, 4, 8] : f32[b, s, 4, 8]
        %c = transpose %a {perm = [0, 2, 1, 3]} : f32[b, 4, s, 8]
        %y = rotary_embedding %c, %cos, %sin : f32[b, 4, s, 8]";
    for (case, rest) in [("split_heads", "return %y"), ("split_heads_that_are_read", "return %y, %c")] {
        check_pass(case, "sink-heads-through-rotary", &graph(inputs, &format!("{body}\n{rest}")));
    }
}

#[test]
fn decompose_rotary_embedding() {
    let inputs = "%x: f32[b, 4, s, 8], %flat: f32[b, s, 32], %cos: f32[b, s, 4], %sin: f32[b, s, 4],
        %short: f32[b, s, 2], %low: f32[b, s, 2]";
    let body = "%a = rotary_embedding %x, %cos, %sin : f32[b, 4, s, 8]
        %c = rotary_embedding %a, %cos, %sin {interleaved = true} : f32[b, 4, s, 8]
        %d = rotary_embedding %c, %short, %low {rotary_embedding_dim = 4} : f32[b, 4, s, 8]
        %e = rotary_embedding %flat, %cos, %sin {num_heads = 4} : f32[b, s, 32]
        return %d, %e";
    check_pass("rotary_embeddings", "decompose-rotary-embedding", &graph(inputs, body));
}
