//! Reads that take more than one request, and the way through partitions in the cluster's order.

use chirrup_engines::cassandra::Cassandra;
use chirrup_store::kv::{Key, Kv, Range, Row, Table, limits};

use crate::support::{Bare, keyspace, open, row, value};

/// Keys of one token: the hash that makes it can be turned back, and the second half of each was
/// reckoned so that it comes out as for the first of them.
const EQUAL_TOKENS: [&str; 4] = [
    "0000000000000000000000000000000001000000000000000200000000000000",
    "0100000000000000010000000000000007cafab84d60a262515f66e1fba42dba",
    "02000000000000000200000000000000510e9cf18a6a456da992a79d4f409c29",
    "03000000000000000300000000000000272b55cff3c8d5d471313c49e36c5e9a",
];

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn partitions_of_one_token_are_listed_once_wherever_a_page_ends() {
    let Some(node) = Cassandra::shared("partitions of one token") else { return };
    let options = keyspace(&node);
    let kv = open(&options).unwrap();
    let equal = EQUAL_TOKENS.map(bytes);
    let others = (0..30u8).map(|n| vec![n; 3]);
    let rows: Vec<Row> = equal.iter().cloned().chain(others).map(|name| row(Table::Inbox, &name, b"", b"", 1)).collect();
    kv.commit(&rows).unwrap();
    let bare = Bare::connect(&options);
    let tokens = bare.column(&format!("SELECT CAST(token(partition) AS text) FROM {}.inbox", options.keyspace));
    assert_eq!(tokens.iter().filter(|token| tokens.iter().filter(|other| other == token).count() == equal.len()).count(), equal.len());
    let whole = kv.partitions(Table::Inbox, None, 1_000).unwrap();
    assert_eq!(whole.len(), rows.len());
    let place = whole.iter().position(|name| *name == equal[0]).unwrap();
    assert_eq!(whole[place..place + equal.len()], equal, "those of one token by their bytes");
    for limit in 1..6 {
        let mut listed: Vec<Vec<u8>> = Vec::new();
        loop {
            let page = kv.partitions(Table::Inbox, listed.last().map(Vec::as_slice), limit).unwrap();
            if page.is_empty() {
                break;
            }
            listed.extend(page);
        }
        assert_eq!(listed, whole, "pages of {limit}");
    }
    // The one after which a page begins need not be there any more.
    kv.commit(&[Row { value: None, version: 2, ..rows[1].clone() }]).unwrap();
    assert_eq!(kv.partitions(Table::Inbox, Some(&equal[1]), 2).unwrap(), equal[2..]);
}

#[test]
fn ranges_and_keys_of_many_pages_are_whole_both_ways() {
    let Some(node) = Cassandra::shared("reads of many pages") else { return };
    let kv = open(&keyspace(&node)).unwrap();
    let sort = |n: u32| n.to_be_bytes().to_vec();
    let rows: Vec<Row> = (0..3_000).map(|n| row(Table::Event, b"p", &sort(n), &sort(n), 1)).collect();
    kv.commit(&rows).unwrap();
    let removed: Vec<Row> =
        rows.iter().filter(|row| row.key.sort[3] % 2 == 1).map(|row| Row { value: None, version: 2, ..row.clone() }).collect();
    kv.commit(&removed).unwrap();
    let range = Range {
        table: Table::Event,
        partition: b"p".to_vec(),
        from: sort(10),
        until: Some(sort(2_990)),
        descending: false,
        limit: limits::READ_ROWS,
    };
    let expected: Vec<_> = (5..1_495).map(|n| (sort(2 * n), sort(2 * n))).collect();
    assert_eq!(kv.range(&range).unwrap(), expected);
    let backwards = kv.range(&Range { descending: true, limit: 777, ..range }).unwrap();
    assert_eq!(backwards, expected.iter().rev().take(777).cloned().collect::<Vec<_>>());
    let keys: Vec<Key> = rows.iter().map(|row| row.key.clone()).collect();
    let found = kv.get(&keys).unwrap();
    assert!(found.iter().zip(&rows).all(|(found, row)| *found == row.value.clone().filter(|_| row.key.sort[3] % 2 == 0)));
}

#[test]
fn the_largest_commit_is_taken_in_one_partition_and_in_many() {
    let Some(node) = Cassandra::shared("the largest commits") else { return };
    let kv = open(&keyspace(&node)).unwrap();
    let large = vec![7; limits::VALUE_BYTES];
    let rows: Vec<Row> = (0..31u8).map(|n| row(Table::Event, b"p", &[n], &large, 1)).collect();
    kv.commit(&rows).unwrap();
    let many: Vec<Row> = (0..2_000u32).map(|n| row(Table::Member, &n.to_be_bytes(), b"", b"x", 1)).collect();
    kv.commit(&many).unwrap();
    assert!(rows.iter().chain(many.iter().step_by(100)).all(|row| value(&kv, &row.key) == row.value));
}

#[test]
fn any_thread_may_call_also_one_of_another_runtime() {
    let Some(node) = Cassandra::shared("calls out of a runtime") else { return };
    let kv = open(&keyspace(&node)).unwrap();
    let rows = [row(Table::Token, b"p", b"", b"x", 1)];
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async { kv.commit(&rows) }).unwrap();
    std::thread::scope(|scope| scope.spawn(|| assert_eq!(value(&kv, &rows[0].key), rows[0].value)).join()).unwrap();
}
