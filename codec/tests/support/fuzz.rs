//! Fuzz targets: a check that holds for any bytes, run over a corpus and what is made of it.
//!
//! Under `cargo test` a target replays its corpus and then so many inputs damaged and spliced from it, by a
//! seed that a failure prints. Under `make fuzz` (`cfg(fuzzing_libfuzzer)`) the same check is driven by
//! libFuzzer, guided by coverage, until it is told to stop. docs/fuzzing.md tells the rest.
//!
//! A corpus is a text file, one input a line: UTF-8 as it stands, `\n`, `\r`, `\t`, `\\` and `\xNN` for what a
//! line cannot hold; empty lines and those that begin with `# ` are left out.
#![allow(dead_code, reason = "each test program uses its part")]

/// Inputs that are made of others grow no longer than this.
const INPUT_BYTES_MAX: usize = 64 * 1024;
const SEED: u64 = 1;

/// A small generator (SplitMix64); the seed is the bug report.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

/// Damages bytes in place of a wire's or a sender's fault.
pub fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    const BYTES: &[u8] = b"\"\\{}[],:. 0123456789eE+-ntfa\x00\x1f\x7f\x80\xc3\xff\n";
    let at = random.below(bytes.len());
    match random.below(7) {
        0 => bytes.truncate(at),
        1 => bytes[at] ^= 1 << random.below(8),
        2 => bytes[at] = random.pick(BYTES),
        3 => bytes.insert(at, random.pick(BYTES)),
        4 => drop(bytes.remove(at)),
        5 => {
            let end = (at + random.below(12)).min(bytes.len());
            drop(bytes.drain(at..end));
        }
        _ => {
            let end = (at + random.below(12)).min(bytes.len());
            let part = bytes[at..end].to_vec();
            let to = random.below(bytes.len());
            drop(bytes.splice(to..to, part));
        }
    }
    if bytes.is_empty() {
        bytes.push(b'{');
    }
}

/// The inputs of a corpus.
pub fn inputs(corpus: &str) -> Vec<Vec<u8>> {
    corpus.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")).map(read_line).collect()
}

fn read_line(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = line.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let (byte, used) = match after {
            [b'n', ..] => (b'\n', 1),
            [b'r', ..] => (b'\r', 1),
            [b't', ..] => (b'\t', 1),
            [b'\\', ..] => (b'\\', 1),
            [b'x', high, low, ..] => {
                let digit = |byte: u8| (byte as char).to_digit(16).expect("two hex digits after \\x") as u8;
                (digit(*high) << 4 | digit(*low), 3)
            }
            _ => panic!("no such escape in a corpus: {line}"),
        };
        bytes.push(byte);
        rest = &after[used..];
    }
    bytes
}

/// An input as a line of a corpus.
pub fn to_line(bytes: &[u8]) -> String {
    let mut line = String::new();
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\n' => line.push_str("\\n"),
                '\r' => line.push_str("\\r"),
                '\t' => line.push_str("\\t"),
                '\\' => line.push_str("\\\\"),
                '#' if line.is_empty() => line.push_str("\\x23"),
                _ if character.is_control() => {
                    character.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| push_hex(&mut line, byte));
                }
                _ => line.push(character),
            }
        }
        chunk.invalid().iter().for_each(|&byte| push_hex(&mut line, byte));
    }
    line
}

fn push_hex(line: &mut String, byte: u8) {
    line.push_str(&format!("\\x{byte:02x}"));
}

/// Says which input it was, should its check panic.
struct Blame<'a> {
    bytes: &'a [u8],
    origin: &'a dyn Fn() -> String,
}

impl Drop for Blame<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input ({}), as a line for the corpus:", (self.origin)());
            eprintln!("{}", to_line(self.bytes));
        }
    }
}

fn blame(bytes: &[u8], origin: &dyn Fn() -> String, check: &mut dyn FnMut(&[u8])) {
    let _blame = Blame { bytes, origin };
    check(bytes);
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs a target: its corpus, then `rounds` inputs made of it. `SLIPSTREAM_FUZZ_ROUNDS` and
/// `SLIPSTREAM_FUZZ_SEED` ask for others.
#[cfg(not(fuzzing_libfuzzer))]
pub fn run(inputs: &[Vec<u8>], rounds: u64, mut check: impl FnMut(&[u8])) {
    assert!(!inputs.is_empty(), "a target begins with a corpus");
    for (place, input) in inputs.iter().enumerate() {
        blame(input, &|| format!("number {place} of the corpus"), &mut check);
    }
    let seed = setting("SLIPSTREAM_FUZZ_SEED").unwrap_or(SEED);
    let mut random = Random(seed);
    for round in 0..setting("SLIPSTREAM_FUZZ_ROUNDS").unwrap_or(rounds) {
        let input = made_of(inputs, &mut random);
        blame(&input, &|| format!("round {round} of SLIPSTREAM_FUZZ_SEED={seed}"), &mut check);
    }
}

/// One input damaged, two joined, or noise.
fn made_of(inputs: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = random.pick(inputs);
    match random.below(8) {
        0 => {
            let other = random.pick(inputs);
            bytes.truncate(random.below(bytes.len() + 1));
            bytes.extend(&other[random.below(other.len() + 1)..]);
        }
        1 => bytes.extend(random.pick(inputs)),
        2 => bytes = (0..random.below(200)).map(|_| random.next() as u8).collect(),
        3 => {
            let other = random.pick(inputs);
            let from = random.below(other.len() + 1);
            let part = &other[from..(from + random.below(40)).min(other.len())];
            let to = random.below(bytes.len() + 1);
            drop(bytes.splice(to..to, part.iter().copied()));
        }
        _ => {}
    }
    bytes.truncate(INPUT_BYTES_MAX);
    if !bytes.is_empty() {
        for _ in 0..random.below(4) {
            damage(&mut bytes, random);
        }
    }
    bytes
}

/// Runs a target until libFuzzer is told to stop, with the arguments of `SLIPSTREAM_FUZZ_ARGUMENTS`; the corpus goes
/// where it looks for seeds.
#[cfg(fuzzing_libfuzzer)]
pub fn run(inputs: &[Vec<u8>], _: u64, check: impl FnMut(&[u8])) {
    if let Ok(folder) = std::env::var("SLIPSTREAM_FUZZ_SEEDS") {
        for (place, input) in inputs.iter().enumerate() {
            let path = std::path::Path::new(&folder).join(format!("{place:03}"));
            std::fs::write(path, input).expect("the folder for seeds can be written");
        }
    }
    libfuzzer::drive(check);
}

#[cfg(fuzzing_libfuzzer)]
mod libfuzzer {
    use super::blame;
    use libfuzzer_sys as _;
    use std::cell::RefCell;
    use std::ffi::{CString, c_char, c_int};
    use std::panic::{AssertUnwindSafe, catch_unwind};

    type Check = Box<dyn FnMut(&[u8])>;

    thread_local! {
        static CHECK: RefCell<Option<Check>> = const { RefCell::new(None) };
    }

    unsafe extern "C" {
        /// libFuzzer's documented entry for programs that have a `main` of their own.
        fn LLVMFuzzerRunDriver(
            count: *mut c_int,
            arguments: *mut *mut *mut c_char,
            one_input: extern "C" fn(*const u8, usize) -> c_int,
        ) -> c_int;
    }

    extern "C" fn one_input(data: *const u8, bytes: usize) -> c_int {
        let input = match bytes {
            0 => &[][..],
            // SAFETY: libFuzzer hands over `bytes` bytes at `data`, which it leaves alone until this returns.
            _ => unsafe { std::slice::from_raw_parts(data, bytes) },
        };
        let passed = catch_unwind(AssertUnwindSafe(|| {
            CHECK.with_borrow_mut(|check| {
                let check = check.as_mut().expect("set before the driver runs");
                blame(input, &|| "found by libFuzzer".to_owned(), check);
            });
        }));
        if passed.is_err() {
            // libFuzzer writes the input to a file and ends the process.
            std::process::abort();
        }
        0
    }

    /// What `rust_fuzzer_test_input` would be to a program made by `cargo fuzz`.
    // SAFETY: nothing else has this name.
    #[unsafe(no_mangle)]
    extern "C" fn rust_fuzzer_test_input(_: &[u8]) -> i32 {
        0
    }

    pub fn drive(check: impl FnMut(&[u8])) {
        let check: Box<dyn FnMut(&[u8]) + '_> = Box::new(check);
        // SAFETY: only the lifetime changes; the process ends before this function does.
        let check = unsafe { std::mem::transmute::<Box<dyn FnMut(&[u8]) + '_>, Check>(check) };
        CHECK.set(Some(check));
        let asked = std::env::var("SLIPSTREAM_FUZZ_ARGUMENTS").unwrap_or_default();
        let arguments = ["target"].into_iter().chain(asked.split_ascii_whitespace());
        let arguments: Vec<_> =
            arguments.map(|argument| CString::new(argument).expect("no zero bytes")).collect();
        let mut pointers: Vec<*mut c_char> =
            arguments.iter().map(|argument| argument.as_ptr().cast_mut()).collect();
        pointers.push(std::ptr::null_mut());
        let mut count = arguments.len() as c_int;
        let mut pointers = pointers.as_mut_ptr();
        // SAFETY: `count` arguments and a null pointer, alive until the process ends.
        let status = unsafe { LLVMFuzzerRunDriver(&mut count, &mut pointers, one_input) };
        std::process::exit(status);
    }
}
