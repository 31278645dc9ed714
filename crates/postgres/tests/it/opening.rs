//! What is refused when a store is opened, and how it is told.

use chirrup_engines::postgres::{PASSWORD, Postgres};
use chirrup_postgres::{OpenError, Options};

use crate::support::{Bare, open, options};

/// What opening is refused with.
fn refusal(options: &Options) -> OpenError {
    open(options).err().expect("it is refused")
}

#[test]
fn p13_a_newer_format_is_refused_before_anything_is_touched() {
    let Some(server) = Postgres::shared("a newer format") else { return };
    let options = options(&server);
    let (bare, schema) = (Bare::connect(&server), options.schema());
    drop(open(&options).unwrap());
    bare.run(&format!("UPDATE {schema}.chirrup SET format = 99; DROP TABLE {schema}.events"));
    let refused = refusal(&options);
    assert!(matches!(&refused, OpenError::Newer { found: 99, .. }), "{refused}");
    assert_eq!(bare.number(&format!("SELECT count(*) FROM pg_tables WHERE schemaname = '{schema}' AND tablename = 'events'")), 0);
    assert_eq!(bare.number(&format!("SELECT count(*) FROM {schema}.chirrup WHERE token IS NULL")), 1, "the claim was not taken");
}

#[test]
fn a_schema_of_somebody_else_is_left_alone() {
    let Some(server) = Postgres::shared("a foreign schema") else { return };
    let options = options(&server);
    let bare = Bare::connect(&server);
    bare.run(&format!("CREATE SCHEMA {0}; CREATE TABLE {0}.events (what text)", options.schema()));
    let refused = refusal(&options);
    assert!(matches!(refused, OpenError::Foreign(_)), "{refused}");
}

#[test]
fn who_is_not_let_in_is_told_why() {
    let Some(server) = Postgres::shared("logins and rights") else { return };
    let schema = Postgres::new_schema();
    let told = |address: &str| refusal(&Options::new(address, schema.as_str()).unwrap()).to_string();
    let address = server.address("postgres");
    let wrong = told(&address.replace(PASSWORD, "wrong"));
    assert!(wrong.contains("password authentication failed"), "{wrong}");
    let absent = told(&server.address("nowhere"));
    assert!(absent.contains("database \"nowhere\" does not exist"), "{absent}");
    let nobody = told("host=127.0.0.1 port=1 user=a password=b");
    assert!(nobody.contains("failed to connect") && nobody.contains("refused"), "{nobody}");
    let user = format!("u_{schema}");
    Bare::connect(&server).run(&format!("CREATE USER {user} PASSWORD 'p'"));
    let rights = told(&format!("host=127.0.0.1 port={} user={user} password=p dbname=postgres", server.port()));
    assert!(rights.contains("make the schema") && rights.contains("permission denied"), "{rights}");
}
