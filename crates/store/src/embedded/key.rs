//! Keys of the trees: the partition's length, the partition, the sort key. So a partition is a
//! contiguous run of keys, sorted within by the sort key, and no partition is a prefix of another.

/// The key of a row. `partition` is 1 to 255 bytes.
pub(super) fn encode(partition: &[u8], sort: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + partition.len() + sort.len());
    push(&mut key, partition, sort);
    key
}

/// Appends the key of a row. `partition` is 1 to 255 bytes.
pub(super) fn push(bytes: &mut Vec<u8>, partition: &[u8], sort: &[u8]) {
    let length = u8::try_from(partition.len()).expect("partition keys are at most 255 bytes");
    bytes.push(length);
    bytes.extend_from_slice(partition);
    bytes.extend_from_slice(sort);
}

/// The first key after all of a partition's; `None` if there can be none.
pub(super) fn after_partition(partition: &[u8]) -> Option<Vec<u8>> {
    let mut key = encode(partition, &[]);
    while let Some(last) = key.last_mut() {
        if *last < u8::MAX {
            *last += 1;
            return Some(key);
        }
        key.pop();
    }
    None
}

/// Partition and sort key; `None` if it is not a key of ours.
pub(super) fn decode(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = key.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_after_a_partition_is_after_all_its_rows_and_before_the_next() {
        for partition in [&b"a"[..], b"\xff", b"a\xff\xff", b"\0", &[0xff; 254]] {
            let after = after_partition(partition).unwrap();
            assert!(encode(partition, &[0xff; 255]) < after);
            let mut next = partition.to_vec();
            next.push(0);
            assert!(after <= encode(&next, &[]));
        }
        assert_eq!(after_partition(&[0xff; 255]), None);
    }

    #[test]
    fn keys_come_apart_again() {
        assert_eq!(decode(&encode(b"part", b"sort")), Some((&b"part"[..], &b"sort"[..])));
        assert_eq!(decode(&encode(b"part", b"")), Some((&b"part"[..], &b""[..])));
        assert_eq!(decode(b"\x05part"), None);
        assert_eq!(decode(b""), None);
    }
}
