//! Damage on the disk is found, set aside and reported; nothing else is lost with it.

use super::workload::{DIRECTORY, bytes, config, formatted, opened, part, put};
use crate::error::StorageError;
use crate::store::{Health, Store, StoreError};
use crate::testing::Machine;
use mooseng_core::checksum::leaves;
use mooseng_core::env::sleep;
use std::time::Duration;

const PARTS: u64 = 20;
const LENGTH: usize = 3_000;
const LARGE: u64 = 100;

/// Twenty small parts and a large one, in several segments with tables.
fn filled() -> Machine {
    let machine = formatted(1, &config());
    let env = machine.clone();
    machine.finish(async move {
        let store = opened(&env, &config()).await;
        for number in 0..PARTS {
            put(&store, part(number), LENGTH).await.unwrap();
        }
        put(&store, part(LARGE), 10_000).await.unwrap();
        sleep(&env, Duration::from_secs(1)).await;
    });
    machine
}

/// How many parts are good, bad and absent, and what the opening reported.
fn look(machine: &Machine) -> ([u64; 3], Vec<String>) {
    let env = machine.clone();
    machine.finish(async move {
        let (store, opened) = Store::open(&env, DIRECTORY, config()).await.unwrap();
        let mut counts = [0; 3];
        for number in (0..PARTS).chain([LARGE]) {
            let health = store.verify(part(number)).await.unwrap();
            counts[health as usize] += 1;
            if health == Health::Bad {
                assert_eq!(store.read_whole(part(number)).await, Err(StoreError::Damaged));
                let again = put(&store, part(number), if number == LARGE { 10_000 } else { LENGTH }).await;
                assert!(again.is_ok(), "a good copy takes the place of a bad one");
                assert_eq!(store.verify(part(number)).await, Ok(Health::Good));
            }
        }
        (
            counts,
            opened.damage.into_iter().map(|damage| format!("{}: {}", damage.file, damage.what)).collect(),
        )
    })
}

fn find(machine: &Machine, path: &str, number: u64) -> usize {
    let data = bytes(part(number), LENGTH);
    let image = machine.with_images(|images| images.dump())[path].clone();
    image.windows(64).position(|window| window == &data[..64]).unwrap()
}

const FIRST: &str = "store/00000000000000000001.segment";
const TABLE: &str = "store/00000000000000000001.table";

#[test]
fn a_rotten_part_is_found_and_nothing_else_is_lost() {
    let machine = filled();
    let at = find(&machine, FIRST, 1);
    machine.with_images(|images| images.alter(FIRST, |bytes| bytes[at + 7] ^= 4));
    assert_eq!(look(&machine), ([PARTS, 1, 0], Vec::new()));
    assert_eq!(look(&machine), ([PARTS + 1, 0, 0], Vec::new()), "it was put anew");
}

#[test]
fn an_unreadable_sector_takes_the_part_in_it() {
    let machine = filled();
    let at = find(&machine, FIRST, 1);
    machine.with_images(|images| images.unreadable.insert((FIRST.to_owned(), at / 512 + 1)));
    let (counts, damage) = look(&machine);
    assert_eq!((counts, damage), ([PARTS, 1, 0], Vec::new()));
}

#[test]
fn an_unreadable_part_does_not_keep_the_store_from_giving_space_back() {
    let machine = filled();
    let at = find(&machine, FIRST, 1);
    machine.with_images(|images| images.unreadable.insert((FIRST.to_owned(), at / 512 + 1)));
    let env = machine.clone();
    machine.finish(async move {
        let store = opened(&env, &config()).await;
        let before = store.usage().segments;
        let kept = [0, 1, 7, 13, PARTS - 1];
        let gone: Vec<_> =
            (0..PARTS).filter(|number| !kept.contains(number)).map(|number| (part(number), 0)).collect();
        store.give_up(&gone).await.unwrap();
        while store.compact().await.unwrap().segments > 0 {}
        let usage = store.usage();
        assert!(usage.segments < before && usage.segments <= 4, "{before} segments, then {usage:?}");
        for number in kept {
            let health = if number == 1 { Health::Bad } else { Health::Good };
            assert_eq!(store.verify(part(number)).await, Ok(health), "part {number}");
        }
    });
}

#[test]
fn a_rotten_part_is_not_moved_as_good() {
    let machine = filled();
    let at = find(&machine, FIRST, 1);
    machine.with_images(|images| images.alter(FIRST, |bytes| bytes[at + 7] ^= 4));
    let env = machine.clone();
    machine.finish(async move {
        let store = opened(&env, &config()).await;
        store.give_up(&[(part(0), 0), (part(2), 0)]).await.unwrap();
        while store.compact().await.unwrap().segments > 0 {}
        assert_eq!(store.verify(part(1)).await, Ok(Health::Bad));
        assert_eq!(store.usage().damaged, 1);
        assert_eq!(store.verify(part(3)).await, Ok(Health::Good));
        store.give_up(&[(part(1), 0)]).await.unwrap();
        assert_eq!((store.usage().damaged, store.verify(part(1)).await), (0, Ok(Health::Absent)));
    });
    let names = machine.with_images(|images| images.dump());
    assert!(!names.contains_key(FIRST) && !names.contains_key(TABLE));
}

#[test]
fn without_its_table_a_segment_is_read() {
    for lose in [true, false] {
        let machine = filled();
        machine.with_images(|images| {
            if lose { images.lose(TABLE) } else { images.alter(TABLE, |bytes| bytes[60] ^= 1) }
        });
        let (counts, damage) = look(&machine);
        assert_eq!(counts, [PARTS + 1, 0, 0]);
        let expected = format!("{TABLE}: does not read well; its segment is read instead");
        assert_eq!(damage, if lose { Vec::new() } else { vec![expected] });
    }
}

#[test]
fn a_rotten_batch_takes_its_parts_and_no_others() {
    let machine = filled();
    machine.with_images(|images| {
        images.lose(TABLE);
        images.alter(FIRST, |bytes| bytes[512 + 50] ^= 1);
    });
    let ([good, bad, absent], damage) = look(&machine);
    assert!(good >= PARTS - 2 && bad == 0 && absent >= 1, "{good} {bad} {absent}");
    assert_eq!(damage.len(), 1, "{damage:?}");
    assert!(damage[0].contains("bytes 512 to") && damage[0].ends_with("are lost, and the parts in them"));
}

#[test]
fn what_is_gone_is_reported_and_the_rest_goes_on() {
    for (lost, line) in [
        (FIRST, "is gone, and the parts in it"),
        (TABLE, "has no head that reads well: the parts in it are lost here"),
    ] {
        let machine = filled();
        machine.with_images(|images| {
            images.lose(lost);
            if lost == TABLE {
                images.alter(FIRST, |bytes| bytes[20] ^= 1);
            }
        });
        let ([good, bad, absent], damage) = look(&machine);
        assert!(good > 10 && bad == 0 && absent > 2, "{good} {bad} {absent}");
        assert_eq!(damage, [format!("{FIRST}: {line}")]);
    }
}

#[test]
fn a_large_part_that_is_cut_or_rotten_is_set_aside() {
    let machine = filled();
    let path =
        machine.with_images(|images| images.dump()).into_keys().find(|path| path.ends_with(".part")).unwrap();
    let whole = machine.with_images(|images| images.dump())[&path].clone();
    for at in (0..whole.len()).step_by(97).chain([10_000, whole.len() - 1]) {
        if (10_000..12_288).contains(&at) {
            continue;
        }
        let machine = machine.copy(1);
        machine.with_images(|images| images.alter(&path, |bytes| bytes[at] ^= 0x20));
        assert_eq!(look(&machine).0, [PARTS, 1, 0], "byte {at}");
    }
    for length in [0, 5_000, 12_288, whole.len() - 1] {
        let machine = machine.copy(1);
        machine.with_images(|images| images.alter(&path, |bytes| bytes.truncate(length)));
        assert_eq!(look(&machine).0, [PARTS, 1, 0], "cut to {length}");
    }
    machine.with_images(|images| images.lose(&path));
    assert_eq!(look(&machine).0, [PARTS, 0, 1]);
}

#[test]
fn another_stores_segment_is_refused() {
    let (machine, other) = (filled(), Machine::new(9));
    let env = other.clone();
    other.finish(async move { Store::format(&env, DIRECTORY, &config()).await.unwrap() });
    let foreign = other.with_images(|images| images.dump())[FIRST].clone();
    machine.with_images(|images| {
        images.lose(TABLE);
        images.alter(FIRST, |bytes| bytes.clone_from(&foreign));
    });
    let env = machine.clone();
    let Err(error) = machine.finish(async move { Store::open(&env, DIRECTORY, config()).await.map(drop) })
    else {
        panic!("opened")
    };
    assert!(matches!(error, StorageError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("belongs to another chunk store"), "{error}");
}

/// Nobody can say any more whose parts lie there.
#[test]
fn a_store_of_which_nothing_reads_well_says_what_to_do() {
    let machine = Machine::new(1);
    let env = machine.clone();
    machine.finish(async move { Store::format(&env, DIRECTORY, &config()).await.unwrap() });
    machine.with_images(|images| images.alter(FIRST, |bytes| bytes.fill(0)));
    let env = machine.clone();
    let Err(error) = machine.finish(async move { Store::open(&env, DIRECTORY, config()).await.map(drop) })
    else {
        panic!("opened")
    };
    assert_eq!(
        error.to_string(),
        format!(
            "{FIRST}: no segment of this chunk store reads well; empty the data directory, and what it kept is \
             made anew from other servers"
        )
    );
}

#[test]
fn sums_are_of_the_part_they_are_kept_with() {
    let data = bytes(part(1), 5_000);
    assert_ne!(leaves(part(1), 0, &data), leaves(part(2), 0, &data));
}
