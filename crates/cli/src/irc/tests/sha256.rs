//! SHA-256 (FIPS 180-4), to compare digests with a program that has nothing better in its
//! standard library. For tests only: short rather than fast.

/// The first 32 bits of the fraction of the square (power 2) or cube (3) root of a prime, found in
/// whole numbers: root * 2^32 is the largest r with r^power <= prime * 2^(32 * power). The primes
/// are below 2^9, so neither side passes 2^128.
fn fraction(prime: u32, power: u32) -> u32 {
    let fits = |root: u128| root.pow(power) <= u128::from(prime) << (32 * power);
    let with_bit = |root: u128, bit: u32| if fits(root | (1 << bit)) { root | (1 << bit) } else { root };
    (0..37).rev().fold(0, with_bit) as u32
}

/// The digest of some bytes, as 64 hexadecimal digits.
#[allow(clippy::many_single_char_names, reason = "they are the names of the standard")]
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    let primes: Vec<u32> = (2_u32..).filter(|n| (2..*n).all(|d| n % d != 0)).take(64).collect();
    let rounds: Vec<u32> = primes.iter().map(|prime| fraction(*prime, 3)).collect();
    let mut state: Vec<u32> = primes.iter().take(8).map(|prime| fraction(*prime, 2)).collect();

    let mut padded = bytes.to_vec();
    padded.push(0x80);
    padded.resize((padded.len() + 8).next_multiple_of(64) - 8, 0);
    padded.extend((bytes.len() as u64 * 8).to_be_bytes());

    for block in padded.chunks_exact(64) {
        let mut words: Vec<u32> = block.chunks_exact(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect();
        for t in 16..64 {
            let (x, y) = (words[t - 15], words[t - 2]);
            let small_0 = x.rotate_right(7) ^ x.rotate_right(18) ^ (x >> 3);
            let small_1 = y.rotate_right(17) ^ y.rotate_right(19) ^ (y >> 10);
            words.push(words[t - 16].wrapping_add(small_0).wrapping_add(words[t - 7]).wrapping_add(small_1));
        }
        let mut turn: [u32; 8] = state.as_slice().try_into().unwrap();
        for (word, constant) in words.iter().zip(&rounds) {
            let [a, b, c, d, e, f, g, h] = turn;
            let big_1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
            let choice = (e & f) ^ (!e & g);
            let first = [big_1, choice, *constant, *word].into_iter().fold(h, u32::wrapping_add);
            let big_0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
            let majority = (a & b) ^ (a & c) ^ (b & c);
            turn = [first.wrapping_add(big_0).wrapping_add(majority), a, b, c, d.wrapping_add(first), e, f, g];
        }
        state.iter_mut().zip(turn).for_each(|(sum, word)| *sum = sum.wrapping_add(word));
    }
    state.iter().map(|word| format!("{word:08x}")).collect::<Vec<_>>().concat()
}

#[test]
fn agrees_with_the_examples_of_the_standard() {
    let million = vec![b'a'; 1_000_000];
    let examples: [(&[u8], &str); 4] = [
        (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"),
        (&million, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
    ];
    for (bytes, digest) in examples {
        assert_eq!(sha256_hex(bytes), digest);
    }
}
