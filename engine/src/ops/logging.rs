//! Where log lines go: standard error or a file, at the configured level, by a thread that may wait for them.
//!
//! Nobody who logs ever waits: whoever reads standard error may have stopped, and a disk may be slow. Lines that
//! find no room are counted, and the count is told as soon as lines are written again, by the thread that writes them:
//! through the queue, the notice would be lost in the very case it is for.

use crate::limits::{LOG_FLUSH_MS_MAX, LOG_LINES_MAX, LOG_LOSS_LOOK_MS};
use log::{Level, LevelFilter, Log, Record};
use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// The target of everything this daemon says.
pub const TARGET: &str = "slipstream";

/// Lines since the start.
#[derive(Debug, Default)]
struct Lines {
    taken: AtomicU64,
    written: AtomicU64,
    lost: AtomicU64,
}

/// Those of the process's logger.
static LINES: OnceLock<Arc<Lines>> = OnceLock::new();

/// The logger's end: takes a line without waiting.
struct Queue {
    lines: SyncSender<Vec<u8>>,
    counts: Arc<Lines>,
}

impl Write for Queue {
    /// The logger writes whole lines.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let count = match self.lines.try_send(line.to_vec()) {
            Ok(()) => &self.counts.taken,
            Err(_) => &self.counts.lost,
        };
        count.fetch_add(1, Ordering::Release);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lines that are put together beside the queue.
#[derive(Clone, Default)]
struct Aside(Arc<Mutex<Vec<u8>>>);

impl Aside {
    fn take(&self) -> Vec<u8> {
        core::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Aside {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The line that tells of so many lost ones, like any other line of the log.
fn notice(lost: u64) -> Vec<u8> {
    let text = Aside::default();
    let logger = env_logger::Builder::new()
        .filter_level(LevelFilter::Warn)
        .write_style(env_logger::WriteStyle::Never)
        .target(env_logger::Target::Pipe(Box::new(text.clone())))
        .build();
    let said = format_args!("{lost} log lines were lost: nobody took them in time");
    logger.log(&Record::builder().level(Level::Warn).target(TARGET).args(said).build());
    text.take()
}

/// The thread's life: ends when the logger is gone.
fn write_lines(lines: &Receiver<Vec<u8>>, mut out: impl Write, counts: &Lines) {
    let mut told = 0;
    loop {
        let line = lines.recv_timeout(Duration::from_millis(LOG_LOSS_LOOK_MS));
        // A reader that is gone, or a full disk: the daemon goes on without a log.
        if let Ok(line) = &line {
            let _ = out.write_all(line);
        }
        let lost = counts.lost.load(Ordering::Acquire);
        if lost > told {
            let _ = out.write_all(&notice(lost - told));
            told = lost;
        }
        match line {
            // Last, so that whoever waits for the line has the notice of what was lost before it, too.
            Ok(_) => _ = counts.written.fetch_add(1, Ordering::Release),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// A queue of so many lines into a thread that writes them.
fn start(out: impl Write + Send + 'static, lines_max: usize, counts: &Arc<Lines>) -> io::Result<Queue> {
    let (sender, lines) = sync_channel(lines_max);
    let of_thread = Arc::clone(counts);
    std::thread::Builder::new().name("log".to_owned()).spawn(move || write_lines(&lines, out, &of_thread))?;
    Ok(Queue { lines: sender, counts: Arc::clone(counts) })
}

/// Sets the process's logger up, once; later calls change nothing.
///
/// Libraries are heard only when they warn.
///
/// # Errors
/// When the file cannot be opened for appending, or the system gives no thread.
pub fn init(level: LevelFilter, path: Option<&Path>) -> io::Result<()> {
    let counts = Arc::default();
    let mut builder = env_logger::Builder::new();
    builder.filter_level(level.min(LevelFilter::Warn)).filter_module(TARGET, level);
    let queue = match path {
        Some(path) => {
            start(OpenOptions::new().create(true).append(true).open(path)?, LOG_LINES_MAX, &counts)?
        }
        None => {
            if io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
                builder.write_style(env_logger::WriteStyle::Always);
            }
            start(io::stderr(), LOG_LINES_MAX, &counts)?
        }
    };
    builder.target(env_logger::Target::Pipe(Box::new(queue)));
    // Already set up, by an earlier daemon in the same process or by a test's own harness.
    if builder.try_init().is_ok() {
        let _ = LINES.set(counts);
    }
    Ok(())
}

/// Waits until every line said so far is written, for [`LOG_FLUSH_MS_MAX`] at most.
pub fn flush() {
    if let Some(counts) = LINES.get() {
        wait_for(counts, Duration::from_millis(LOG_FLUSH_MS_MAX));
    }
}

/// Says the last words of a thread that panics, which are lost nowhere but where nobody takes anything: in the log, and,
/// when that is full or does not move, on standard error, without waiting for either.
pub fn say_last(words: &str) {
    let say = || log::error!(target: TARGET, "{words}");
    let is_written = match LINES.get() {
        Some(counts) => says_surely(counts, say, Duration::from_millis(LOG_FLUSH_MS_MAX)),
        None => {
            say();
            true
        }
    };
    if !is_written {
        write_at_once(io::stderr().as_fd(), format!("{words}\n").as_bytes());
    }
}

/// Whether what is said is written for certain, in time. If another thread's line is lost meanwhile, this one counts as
/// lost with it: better twice than not at all.
fn says_surely(counts: &Lines, say: impl FnOnce(), time: Duration) -> bool {
    let lost = counts.lost.load(Ordering::Acquire);
    say();
    counts.lost.load(Ordering::Acquire) == lost && wait_for(counts, time)
}

/// Writes what can be written without waiting, and leaves the rest. The descriptor's own flags stay as they are: other
/// processes may share them.
fn write_at_once(to: BorrowedFd<'_>, text: &[u8]) {
    // SAFETY: the text is readable for its length.
    let sent = unsafe {
        libc::send(to.as_raw_fd(), text.as_ptr().cast(), text.len(), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
    };
    if sent >= 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ENOTSOCK) {
        return;
    }
    // A pipe, a terminal or a file can be opened once more, with flags of our own.
    let again = OpenOptions::new()
        .append(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(format!("/proc/self/fd/{}", to.as_raw_fd()));
    if let Ok(mut again) = again {
        let _ = again.write_all(text);
    }
}

/// Whether it was, in time.
fn wait_for(counts: &Lines, time: Duration) -> bool {
    let (asked, taken) = (Instant::now(), counts.taken.load(Ordering::Acquire));
    while counts.written.load(Ordering::Acquire) < taken {
        if asked.elapsed() >= time {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Read};

    #[test]
    fn lines_come_out_in_order_and_whole() {
        let (reader, writer) = io::pipe().unwrap();
        let counts = Arc::default();
        let mut queue = start(writer, 1_000, &counts).unwrap();
        for number in 0..100 {
            queue.write_all(format!("line {number}\n").as_bytes()).unwrap();
        }
        let lines: Vec<String> = BufReader::new(reader).lines().take(100).map(Result::unwrap).collect();
        assert_eq!(lines[7], "line 7");
        assert_eq!(lines[99], "line 99");
        assert!(wait_for(&counts, Duration::from_secs(60)));
    }

    /// The fault: nobody reads.
    #[test]
    fn a_reader_that_does_not_read_holds_nobody_up_and_what_is_lost_is_counted() {
        let (mut reader, writer) = io::pipe().unwrap();
        let counts = Arc::default();
        let mut queue = start(writer, 8, &counts).unwrap();
        let line = [b'x'; 4096];
        // A pipe holds 64 KiB, sixteen lines; the queue eight, the thread one: the rest has no room.
        const PIPE_LINES: u64 = 16;
        let mut said = 0;
        let (taken, lost) = loop {
            queue.write_all(&line).unwrap();
            said += 1;
            let (taken, lost) = (counts.taken.load(Ordering::Acquire), counts.lost.load(Ordering::Acquire));
            if taken > PIPE_LINES && lost > 100 {
                break (taken, lost);
            }
            std::thread::yield_now();
        };
        assert_eq!(taken + lost, said);
        assert!(taken <= PIPE_LINES + 8 + 1, "{taken}");
        assert!(
            !wait_for(&counts, Duration::from_millis(20)),
            "the lines in the queue cannot have been written"
        );
        // Somebody reads again: what was taken comes, all of it.
        drop(queue);
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        assert_eq!(all.iter().filter(|&&byte| byte == b'x').count() as u64, taken * 4096);
        assert!(wait_for(&counts, Duration::from_secs(60)));
        // And so does the number of those that are gone, though the queue was full and nobody said anything after.
        let told: Vec<_> =
            all.split(|&byte| byte == b'x').filter(|between| !between.is_empty()).map(lost_in).collect();
        assert_eq!(told.iter().sum::<u64>(), lost, "{told:?}");
    }

    /// The number that a notice tells.
    fn lost_in(notice: &[u8]) -> u64 {
        let notice = std::str::from_utf8(notice).unwrap();
        assert!(notice.contains("WARN") && notice.contains(TARGET) && notice.ends_with('\n'), "{notice}");
        let (_, said) = notice.split_once("] ").unwrap();
        said.split_once(" log lines were lost").unwrap().0.parse().unwrap()
    }

    /// The fault: lines are lost, and then there is silence.
    #[test]
    fn a_loss_before_a_silence_is_told() {
        let (reader, writer) = io::pipe().unwrap();
        let counts: Arc<Lines> = Arc::default();
        let _queue = start(writer, 8, &counts).unwrap();
        counts.lost.store(3, Ordering::Release);
        let mut line = Vec::new();
        BufReader::new(reader).read_until(b'\n', &mut line).unwrap();
        assert_eq!(lost_in(&line), 3);
    }

    /// The fault: a thread panics while the log is full.
    #[test]
    fn last_words_that_find_no_room_are_known_to_be_lost() {
        let short = Duration::from_millis(20);
        let counts = Arc::default();
        let mut queue = start(io::sink(), 8, &counts).unwrap();
        assert!(says_surely(&counts, || queue.write_all(b"words\n").unwrap(), Duration::from_secs(60)));
        let (_reader, mut writer) = io::pipe().unwrap();
        // A pipe holds 64 KiB.
        writer.write_all(&[b'x'; 64 * 1024]).unwrap();
        let counts = Arc::default();
        let mut queue = start(writer, 8, &counts).unwrap();
        while counts.lost.load(Ordering::Acquire) < 100 {
            queue.write_all(&[b'x'; 4096]).unwrap();
        }
        assert!(!says_surely(&counts, || queue.write_all(b"words\n").unwrap(), short));
        assert!(!says_surely(&counts, || {}, short), "nor is what waits in a queue that does not move");
    }

    /// Where there is room it is written, where there is none nobody waits.
    #[test]
    fn what_is_written_at_once_waits_for_nobody() {
        let (mut reader, mut writer) = io::pipe().unwrap();
        write_at_once(writer.as_fd(), b"words");
        let mut words = [0; 5];
        reader.read_exact(&mut words).unwrap();
        assert_eq!(&words, b"words");
        // A pipe holds 64 KiB.
        writer.write_all(&[b'x'; 64 * 1024]).unwrap();
        write_at_once(writer.as_fd(), b"words");
        let (mut here, there) = std::os::unix::net::UnixStream::pair().unwrap();
        write_at_once(there.as_fd(), b"words");
        here.read_exact(&mut words).unwrap();
        for _ in 0..10_000 {
            write_at_once(there.as_fd(), &[b'x'; 4096]);
        }
    }
}
