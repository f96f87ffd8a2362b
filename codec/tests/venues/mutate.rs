//! Rewriting messages: other forms of the same, other values, damage.

use crate::tree::Tree;

pub use crate::fuzz::{Random, damage};

/// Numbers at the edges of what is read, carried or JSON at all.
const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "0.0",
    "1",
    "-1",
    "-1.5",
    "1.0",
    "7e0",
    "1E2",
    "1.5e3",
    "25e-2",
    "1e-8",
    "1e-9",
    "0.00000001",
    "0.000000001",
    "0.000000010000000000000",
    "123456789012345678",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999",
    "92233720368.54775807",
    "92233720368.54775808",
    "1e10",
    "1e11",
    "1e18",
    "1e19",
    "1e400",
    "-1e400",
    "0e99999",
    "1e-400",
    "0.1000000000000000055511151231257827",
    "1.79769313486231580793e308",
    "00",
    "01",
    "007.5",
    "1.",
    ".5",
    "+1",
    "1e",
    "1e+",
    "--1",
    "",
    " 1",
    "1 ",
    "0x10",
    "NaN",
    "Infinity",
    "1_000",
    "1,5",
    "١",
    "12345678.12345678",
    "9999999999.99999999",
    "10000000000.5",
    "12345678901234567890.5",
    "-92233720369",
    "3.0000000000000001",
    "-0.0000000125",
    "0.0000000000001",
    "-9223372.036854775808",
    "92233720369",
    "1e22",
    "10000000000000000000000.00000001",
    "-123456789012345678901.5",
    "-9223372036854775809",
];

/// Strings that need care.
const TEXTS: &[&str] = &[
    "",
    "币安人生USDT",
    "a\"b",
    "a\\b",
    "\n",
    "\u{1}",
    "😀",
    "é",
    "\u{7f}",
    "e",
    "MARKET",
    "B",
    "A",
    "1m",
    "1M",
    "6h",
];

const SPACES: &[&str] = &[" ", "\n", "\t", "\r\n", "  "];

/// The tree as text. `style` 0 is compact; otherwise white space and escapes where JSON allows them.
pub fn write(tree: &Tree, random: &mut Random, style: usize, out: &mut String) {
    let space = |random: &mut Random, out: &mut String| {
        if style > 0 && random.one_in(12) {
            out.push_str(random.pick(SPACES));
        }
    };
    space(random, out);
    match tree {
        Tree::Null => out.push_str("null"),
        Tree::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Tree::Number(text) => out.push_str(text),
        Tree::Text(text) => write_text(text, random, style, out),
        Tree::Array(elements) => {
            out.push('[');
            for (at, element) in elements.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(element, random, style, out);
            }
            space(random, out);
            out.push(']');
        }
        Tree::Object(members) => {
            out.push('{');
            for (at, (key, value)) in members.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                space(random, out);
                write_text(key, random, style, out);
                space(random, out);
                out.push(':');
                write(value, random, style, out);
            }
            space(random, out);
            out.push('}');
        }
    }
    space(random, out);
}

fn write_text(text: &str, random: &mut Random, style: usize, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        let must = matches!(character, '"' | '\\' | '\0'..='\u{1f}');
        if must || (style > 0 && random.one_in(40)) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(character);
        }
    }
    out.push('"');
}

/// Changes one thing somewhere in the tree.
pub fn change(tree: &mut Tree, random: &mut Random) {
    // Down a random path; the deeper, the likelier it stops.
    match tree {
        Tree::Array(elements) if !elements.is_empty() && !random.one_in(4) => {
            let at = random.below(elements.len());
            return change(&mut elements[at], random);
        }
        Tree::Object(members) if !members.is_empty() && !random.one_in(4) => {
            let at = random.below(members.len());
            return change(&mut members[at].1, random);
        }
        _ => {}
    }
    match tree {
        Tree::Object(members) => change_members(members, random),
        Tree::Array(elements) => match random.below(4) {
            0 => elements.truncate(random.below(elements.len() + 1)),
            1 if !elements.is_empty() => elements.push(elements[random.below(elements.len())].clone()),
            2 => elements.insert(random.below(elements.len() + 1), anything(random, 2)),
            _ => *tree = anything(random, 2),
        },
        Tree::Text(text) if random.one_in(2) => *tree = Tree::Number(text.clone()),
        Tree::Number(text) if random.one_in(2) => *tree = Tree::Text(text.clone()),
        _ => *tree = anything(random, 2),
    }
}

fn change_members(members: &mut Vec<(String, Tree)>, random: &mut Random) {
    match random.below(6) {
        0 => shuffle(members, random),
        1 => members.sort_by(|one, other| one.0.cmp(&other.0)),
        2 if !members.is_empty() => drop(members.remove(random.below(members.len()))),
        3 if !members.is_empty() => {
            let (key, value) = members[random.below(members.len())].clone();
            let value = if random.one_in(2) { value } else { anything(random, 1) };
            members.insert(random.below(members.len() + 1), (key, value));
        }
        4 if !members.is_empty() => {
            // Keys that differ by case, or name something else.
            let at = random.below(members.len());
            let key = &mut members[at].0;
            *key = if key.to_lowercase() == *key { key.to_uppercase() } else { key.to_lowercase() };
        }
        _ => {
            let keys = [
                "zz", "", "e", "stream", "data", "id", "code", "result", "error", "st", "ps", "n", "f",
                "spread",
            ];
            let key = random.pick(&keys).to_owned();
            members.insert(random.below(members.len() + 1), (key, anything(random, 3)));
        }
    }
}

pub fn shuffle<T>(items: &mut [T], random: &mut Random) {
    for at in (1..items.len()).rev() {
        items.swap(at, random.below(at + 1));
    }
}

/// Any value, nested at most so deep.
pub fn anything(random: &mut Random, depth: usize) -> Tree {
    match random.below(if depth == 0 { 8 } else { 10 }) {
        0 => Tree::Null,
        1 => Tree::Bool(random.one_in(2)),
        2 | 3 => Tree::Number(random.pick(NUMBERS).to_owned()),
        4 | 5 => Tree::Text(random.pick(NUMBERS).to_owned()),
        6 | 7 => Tree::Text(random.pick(TEXTS).to_owned()),
        8 => Tree::Array((0..random.below(4)).map(|_| anything(random, depth - 1)).collect()),
        _ => Tree::Object(
            (0..random.below(4)).map(|at| (format!("k{at}"), anything(random, depth - 1))).collect(),
        ),
    }
}

/// Harmless rewriting: members in another order, more of them, numbers in the other form. Every value stays.
pub fn disguise(tree: &mut Tree, random: &mut Random) {
    match tree {
        Tree::Array(elements) => elements.iter_mut().for_each(|element| disguise(element, random)),
        Tree::Object(members) => {
            members.iter_mut().for_each(|(_, value)| disguise(value, random));
            if random.one_in(2) {
                shuffle(members, random);
            }
            if random.one_in(2) {
                let unknown =
                    Tree::Object(vec![("x".to_owned(), Tree::Array(vec![Tree::Null, Tree::Bool(true)]))]);
                members.insert(random.below(members.len() + 1), ("unknown".to_owned(), unknown));
            }
        }
        Tree::Number(text) if random.one_in(3) => *tree = Tree::Text(text.clone()),
        Tree::Text(text) if random.one_in(3) && is_number(text) => *tree = Tree::Number(text.clone()),
        _ => {}
    }
}

fn is_number(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole) && digits(fraction) && (whole == "0" || !whole.starts_with('0'))
}
