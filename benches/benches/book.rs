//! Which layout a book side has: time for the whole BTCUSDT capture, per changed level.
#![allow(missing_docs)]

use benches::layouts::{BestFirst, Blocks, LinearScan, Side, Tree};
use benches::{BookRun, btcusdt_capture};
use codec::book::{Book, snapshot_horizon};
use codec::record::Level;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

fn layout<S: Side>(run: &BookRun) -> usize {
    let (mut bids, mut asks) = (S::default(), S::default());
    let mut apply = |bid_levels: &[Level], ask_levels: &[Level]| {
        for level in bid_levels {
            bids.set(level.price.raw(), level.size.raw());
        }
        for level in ask_levels {
            asks.set(-level.price.raw(), level.size.raw());
        }
    };
    apply(&run.snapshot.0, &run.snapshot.1);
    for (bid_levels, ask_levels) in &run.events {
        apply(bid_levels, ask_levels);
    }
    bids.len() + asks.len()
}

fn chosen(run: &BookRun, book: &mut Book, horizon: bool) -> usize {
    let bound = |levels: &[Level], step| if horizon { snapshot_horizon(levels, 1000, step) } else { None };
    let (bids, asks) = &run.snapshot;
    book.load(bids, asks, bound(bids, -1), bound(asks, 1), 0);
    for (bid_levels, ask_levels) in &run.events {
        book.apply(bid_levels, ask_levels, 0);
    }
    book.bids.len() + book.asks.len()
}

fn books(criterion: &mut Criterion) {
    let Some(run) = btcusdt_capture().as_deref().and_then(BookRun::from_capture) else { return };
    let mut group = criterion.benchmark_group("book");
    group.throughput(Throughput::Elements(run.changes())).sample_size(20);
    let mut book = Book::new(5000);
    group.bench_function("flat best-last, binary search, horizon (chosen)", |bench| {
        bench.iter(|| black_box(chosen(&run, &mut book, true)));
    });
    group.bench_function("flat best-last, binary search, whole book", |bench| {
        bench.iter(|| black_box(chosen(&run, &mut book, false)));
    });
    group.bench_function("flat best-first, binary search", |bench| {
        bench.iter(|| black_box(layout::<BestFirst>(&run)))
    });
    group.bench_function("flat best-last, linear scan", |bench| {
        bench.iter(|| black_box(layout::<LinearScan>(&run)))
    });
    group.bench_function("sorted blocks of 64", |bench| bench.iter(|| black_box(layout::<Blocks>(&run))));
    group.bench_function("BTreeMap", |bench| bench.iter(|| black_box(layout::<Tree>(&run))));
    group.finish();
}

criterion_group!(benches, books);
criterion_main!(benches);
