//! Copies that came to their end: from store to store and back, and served from each.

use chirrup_engines::cassandra::Cassandra;
use chirrup_engines::postgres::Postgres;
use serde_json::{Value, json};

use crate::raw::{Connection, User, client_id, server};
use crate::support::{Server, collected, workspace};
use crate::world::World;
use crate::{compared, copied, embedded, on_cassandra, on_postgres};

/// A server with people who have talked, an imported channel, and a direct conversation.
struct Before {
    server: Server,
    world: World,
    told: Vec<Value>,
    cursor: String,
    direct: String,
}

impl Before {
    async fn new() -> Self {
        let mut server = server();
        import(&server);
        let world = World::talk(&server).await;
        let direct = direct(&mut world.users[0].on(&server).await, &world.users[1]).await;
        // Positions are as they were written.
        server.stop();
        server.start_again();
        let (_, ready) = world.users[1].resume(server.address, None).await.unwrap();
        let cursor = ready["cursor"].as_str().unwrap().to_owned();
        let told = world.told(&server).await;
        server.stop();
        Self { server, world, told, cursor, direct }
    }

    /// What is served now is what was served before, to people who begin anew with it.
    async fn assert_as_before(&self) {
        let Self { server, world, .. } = self;
        // With the tokens that their devices had, positions and unread messages among it.
        assert_eq!(world.told(server).await, self.told);
        world.assert_known(server).await;
        assert_eq!(direct(&mut world.users[0].on(server).await, &world.users[1]).await, self.direct, "found again by who made it");
        assert_eq!(direct(&mut world.users[1].on(server).await, &world.users[0]).await, self.direct, "and by the other");
        let (_, ready) = world.users[1].resume(server.address, Some(&self.cursor)).await.unwrap();
        assert_eq!(ready["reset"], true, "a cursor of the other store");
        let fresh = ready["cursor"].as_str().unwrap();
        assert_eq!(world.users[1].resume(server.address, Some(fresh)).await.unwrap().1["reset"], false);
    }
}

async fn direct(connection: &mut Connection, with: &User) -> String {
    let answer = connection.ok("create_direct", json!({"client_id": client_id(), "with": with.id})).await;
    answer["conversation"].as_str().unwrap().to_owned()
}

/// Real logs where this machine has them.
fn import(server: &Server) {
    server.sign_up_administrator("root");
    let folder = collected("irc/ubuntu-disentanglement/test").unwrap_or_else(|| workspace().join("tests/data/irc"));
    server.json("root", &["import", "irc", folder.to_str().unwrap()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn from_store_to_store_everything_stays_and_is_served_from_each() {
    let mut before = Before::new().await;
    let place = tempfile::tempdir().unwrap();
    let data = before.server.data();
    let first = place.path().join("first");
    std::fs::rename(&data, &first).unwrap();
    let stores = ["second", "third"].map(|name| place.path().join(name));
    let postgres = Postgres::shared("chirrup copy into PostgreSQL and out of it");
    let cassandra = Cassandra::shared("chirrup copy into Cassandra and out of it");
    let way = [
        Some(embedded(&stores[0])),
        postgres.as_ref().map(|server| on_postgres(server)),
        cassandra.as_ref().map(on_cassandra),
        Some(embedded(&stores[1])),
    ];

    let mut from = embedded(&first);
    let mut digests = Value::Null;
    for to in way.into_iter().flatten() {
        let report = copied(&from, &to);
        println!("{from} to {to}: {} events and {} rows in {} s", report["events"], report["rows"], report["copying_seconds"]);
        assert!(report["events"].as_u64().unwrap() > 200 && report["copied_rows"] == report["rows"], "{report}");
        assert!(digests.is_null() || digests == report["digests"], "the same from the first store to the last");
        digests = report["digests"].clone();
        from = to;
    }
    assert_eq!(compared(&embedded(&first), &from)["digests"], digests);

    for store in &stores {
        std::fs::rename(store, &data).unwrap();
        before.server.start_again();
        before.assert_as_before().await;
        let mut world = before.world.clone();
        world.say_more(&before.server).await;
        // Killed, it recovers above what was copied.
        before.server.kill();
        before.server.start_again();
        world.assert_known(&before.server).await;
        before.server.stop();
        std::fs::rename(&data, store).unwrap();
    }
}
