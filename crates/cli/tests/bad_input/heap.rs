//! Bad input leaves nothing behind: the live heap after many rounds of it is that after one.

use super::frames;
use super::json;
use super::params;
use super::samples;
use super::support::until_async;
use super::texts;
use super::upgrades;
use super::utf8;
use super::wire::Wire;
use super::world::{Sender, World};

/// Rounds after the first.
const ROUNDS: usize = 10;
/// Of each collection every so-manieth is taken.
const EVERY: usize = 9;
/// What the rounds may leave in the heap in all.
const GROWTH_BYTES_MAX: u64 = 1 << 20;

/// A figure of the server.
async fn figure(world: &World, name: &str) -> u64 {
    let mut wire = Wire::connect(world.server.admin_address).await;
    wire.say(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    let text = String::from_utf8(wire.rest().await).expect("text");
    let line = text.lines().find_map(|line| line.strip_prefix(name).and_then(|rest| rest.strip_prefix(' ')));
    line.unwrap_or_else(|| panic!("no {name}: {text}")).parse().expect("a number")
}

/// The live heap of the server, without what its store keeps in memory.
pub async fn live_bytes(world: &World) -> u64 {
    figure(world, "chirrup_heap_live_bytes").await
}

/// Every kind of bad input once.
async fn round(world: &World) {
    let mut sender = Sender::new(world);
    for (name, bytes) in samples::json().iter().step_by(EVERY) {
        json::refused_whole(&mut sender, name, bytes).await;
        json::refused_as_params(&mut sender, name, bytes).await;
    }
    for (name, bytes, _) in samples::utf8().iter().filter(|(.., valid)| !valid).step_by(EVERY) {
        utf8::refused(&mut sender, world, name, bytes).await;
    }
    for (method, params) in params::good(world) {
        let params = params.as_object().unwrap();
        let field = params.keys().next().unwrap();
        params::wrong_field(&mut sender, method, params, field).await;
    }
    for (name, bytes, code) in frames::violations().iter().step_by(3) {
        frames::violated(world.wire().await, name, bytes, *code).await;
    }
    frames::closed_with(world.wire().await, frames::NO_CLOSE_CODES[0]).await;
    frames::cut_off(world).await;
    for (name, bytes) in samples::upgrades().iter().step_by(EVERY) {
        upgrades::noise(world, name, bytes).await;
    }
    let mut connection = world.ana.on(&world.server).await;
    for text in samples::naughty().iter().step_by(EVERY) {
        texts::told(&mut connection, &world.conversation, text).await;
    }
}

/// The live heap once every connection but the good one is gone.
async fn settled(world: &World) -> u64 {
    until_async("all bad connections are gone", async || figure(world, "chirrup_connections").await == 1).await;
    live_bytes(world).await
}

#[tokio::test]
async fn the_heap_does_not_grow() {
    let mut world = World::new().await;
    round(&world).await;
    world.goes_on().await;
    let mut readings = vec![settled(&world).await];
    for _ in 0..ROUNDS {
        round(&world).await;
        world.goes_on().await;
        readings.push(settled(&world).await);
    }
    println!("live heap: {readings:?}");
    // The store writes a table out now and then, and holds it twice meanwhile: one reading of two
    // is without that.
    let (before, after) = (readings[0].min(readings[1]), readings[ROUNDS - 1].min(readings[ROUNDS]));
    let grown = after.saturating_sub(before);
    assert!(grown <= GROWTH_BYTES_MAX, "{ROUNDS} rounds left {grown} bytes: {readings:?}");
}
