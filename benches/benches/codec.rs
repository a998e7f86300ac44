//! What erasure coding costs: encoding a stripe and bringing two lost parts back, per byte of data,
//! on one core, beside `reed-solomon-erasure` and a copy of the same bytes in the same run.

use criterion::{Criterion, Throughput};
use mooseng_core::chance::{Dice, stream};
use mooseng_core::checksum;
use mooseng_core::erasure::{Codec, codec};
use mooseng_core::id::{PartId, SliceId, Slot};
use reed_solomon_erasure::galois_8::ReedSolomon;
use std::hint::black_box;

const PART_BYTES: usize = 1 << 20;

fn parts(count: u8) -> Vec<Vec<u8>> {
    let mut dice = stream(1, "codec bench", 0, 0);
    let part = |_| (0..PART_BYTES / 8).flat_map(|_| dice.word().to_le_bytes()).collect();
    (0..count).map(part).collect()
}

fn encode(criterion: &mut Criterion, data: u8, parity: u8) {
    let sources = parts(data);
    let shown: Vec<&[u8]> = sources.iter().map(Vec::as_slice).collect();
    let mut made = vec![vec![0; PART_BYTES]; usize::from(parity)];
    let mut group = criterion.benchmark_group(format!("encode {data}+{parity}"));
    group.throughput(Throughput::Bytes(u64::from(data) * PART_BYTES as u64));
    let ours = codec(data, parity);
    group.bench_function("ours", |bench| bench.iter(|| ours.encode(black_box(&shown), &mut made)));
    let theirs = ReedSolomon::new(data.into(), parity.into()).expect("a codec");
    group.bench_function("reed-solomon-erasure", |bench| {
        bench.iter(|| theirs.encode_sep(black_box(&sources), &mut made).expect("parts of one length"));
    });
    group.bench_function("copy", |bench| bench.iter(|| black_box(&sources).clone()));
    group.finish();
}

fn rebuild(criterion: &mut Criterion, data: u8, parity: u8) {
    let mut all = parts(data);
    let shown: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
    let mut made = vec![vec![0; PART_BYTES]; usize::from(parity)];
    codec(data, parity).encode(&shown, &mut made);
    all.extend(made);
    let mut left: Vec<Option<Vec<u8>>> = all.into_iter().map(Some).collect();
    let mut group = criterion.benchmark_group(format!("rebuild two of {data}+{parity}"));
    group.throughput(Throughput::Bytes(u64::from(data) * PART_BYTES as u64));
    let ours = codec(data, parity);
    group.bench_function("ours", |bench| {
        bench.iter(|| {
            (left[0], left[1]) = (None, None);
            ours.reconstruct(&mut left, &[0, 1], PART_BYTES).expect("enough parts are left");
        });
    });
    let theirs = ReedSolomon::new(data.into(), parity.into()).expect("a codec");
    group.bench_function("reed-solomon-erasure", |bench| {
        bench.iter(|| {
            (left[0], left[1]) = (None, None);
            theirs.reconstruct_data(&mut left).expect("enough parts are left");
        });
    });
    group.finish();
}

/// The sums of a part's leaves, which every byte that is written or read passes.
fn sums(criterion: &mut Criterion) {
    let part = PartId { slice: SliceId::new(0, Slot::default(), 1).expect("a slice"), index: 0 };
    let bytes = parts(1).remove(0);
    let mut group = criterion.benchmark_group("sums of leaves");
    group.throughput(Throughput::Bytes(PART_BYTES as u64));
    group.bench_function("ours", |bench| bench.iter(|| checksum::leaves(part, 0, black_box(&bytes))));
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().sample_size(20).configure_from_args();
    for (data, parity) in [(4, 2), (8, 3), (16, 4)] {
        encode(&mut criterion, data, parity);
        rebuild(&mut criterion, data, parity);
    }
    sums(&mut criterion);
    criterion.final_summary();
}
