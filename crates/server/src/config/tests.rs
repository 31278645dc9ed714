use super::*;

fn load(file: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("chirrup.toml");
    std::fs::write(&path, file).expect("written");
    let owned =
        |pairs: &[(&str, &str)]| -> Vec<(String, String)> { pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect() };
    Config::load(Some(&path), owned(env).into_iter(), &owned(flags))
}

fn error(result: Result<Config, ConfigError>) -> String {
    result.expect_err("refused").to_string()
}

#[test]
fn the_default_file_has_every_setting() {
    // No field has a default of its own, so that a setting missing there would not parse.
    let config = Config::default();
    assert_eq!(config.listen.address.to_string(), "127.0.0.1:7400");
    assert_eq!(config.listen.admin_address.to_string(), "127.0.0.1:7401");
    assert!(config.sign_up_open());
    let options = EmbeddedOptions::default();
    let ours = config.store_options();
    assert_eq!(format!("{options:?}"), format!("{ours:?}"), "the store's own defaults");
}

#[test]
fn later_sources_win() {
    let file = "[session]\nheartbeat_ms = 1000\ntyping_ms = 1000\nmerge_ms = 1000\n";
    let env = [("CHIRRUP_SESSION_TYPING_MS", "2000"), ("CHIRRUP_SESSION_MERGE_MS", "2000"), ("CHIRRUP_TOKEN", "x"), ("PATH", "/")];
    let config = load(file, &env, &[("session.merge_ms", "3000")]).expect("valid");
    assert_eq!((config.session.heartbeat_ms, config.session.typing_ms, config.session.merge_ms), (1000, 2000, 3000));
    assert_eq!(config.session.grace_ms, Config::default().session.grace_ms);
}

#[test]
fn unknown_keys_are_errors_that_name_the_nearest() {
    let from_file = error(load("[session]\nheartbeet_ms = 1\n", &[], &[]));
    assert!(from_file.contains("\"session.heartbeet_ms\"") && from_file.contains("\"session.heartbeat_ms\""), "{from_file}");
    let from_env = error(load("", &[("CHIRRUP_LISTEN_ADDRES", "x")], &[]));
    assert!(from_env.contains("CHIRRUP_LISTEN_ADDRES") && from_env.contains("\"CHIRRUP_LISTEN_ADDRESS\""), "{from_env}");
    let from_flag = error(load("", &[], &[("log.formt", "json")]));
    assert!(from_flag.contains("\"log.format\""), "{from_flag}");
    assert!(error(load("sign_up = \"open\"\n", &[], &[])).contains("\"server.sign_up\""));
}

#[test]
fn values_of_a_wrong_type_are_errors() {
    assert!(matches!(load("[session]\nheartbeat_ms = \"soon\"\n", &[], &[]), Err(ConfigError::Type(_))));
    assert!(matches!(load("", &[("CHIRRUP_LISTEN_BEHIND_PROXY", "perhaps")], &[]), Err(ConfigError::Type(_))));
    assert!(matches!(load("[listen\n", &[], &[]), Err(ConfigError::Syntax { .. })));
    assert!(matches!(Config::load(Some(Path::new("/nowhere/at/all")), std::iter::empty(), &[]), Err(ConfigError::Read { .. })));
}

#[test]
fn beyond_loopback_needs_tls_or_a_trusted_proxy() {
    let listen = ("listen.address", "0.0.0.0:7400");
    assert!(error(load("", &[], &[listen])).contains("in clear"));
    assert!(error(load("", &[], &[listen, ("listen.behind_proxy", "true")])).contains("trusted_proxies"));
    assert!(error(load("", &[], &[listen, ("tls.cert", "cert.pem")])).contains("both"));
    let tls = load("", &[], &[listen, ("tls.cert", "cert.pem"), ("tls.key", "key.pem")]).expect("valid");
    assert!(tls.tls_files().is_some());
    let proxy = load("", &[], &[listen, ("listen.behind_proxy", "true"), ("listen.trusted_proxies", "10.0.0.0/8, ::1")]).expect("valid");
    assert_eq!(proxy.listen.trusted_proxies.len(), 2);
    assert!(error(load("", &[], &[("listen.admin_address", "0.0.0.0:1")])).contains("loopback"));
}

#[test]
fn sign_up_closes_when_the_world_can_come_in() {
    let proxy = [("listen.behind_proxy", "true"), ("listen.trusted_proxies", "127.0.0.1")];
    assert!(!load("", &[], &proxy).expect("valid").sign_up_open());
    let told = [("listen.behind_proxy", "true"), ("listen.trusted_proxies", "127.0.0.1"), ("server.sign_up", "open")];
    assert!(load("", &[], &told).expect("valid").sign_up_open());
    assert!(!load("", &[], &[("server.sign_up", "closed")]).expect("valid").sign_up_open());
}

#[test]
fn intervals_have_bounds() {
    assert!(error(load("", &[], &[("session.heartbeat_ms", "0")])).contains("session.heartbeat_ms"));
    assert!(error(load("", &[], &[("session.merge_ms", "3600001")])).contains("session.merge_ms"));
    assert!(error(load("", &[], &[("server.closed_community", "false")])).contains("closed_community"));
}

#[test]
fn numbers_out_of_bounds_are_named() {
    for (key, wrong, bounds) in [
        ("session.heartbeat_ms", "49", "50 to 3600000"),
        ("auth.hashes_at_once", "0", "1 to 256"),
        ("auth.address_attempts", "9000000000", "1 to 1000000"),
        ("store.low_water_bytes", "9000000000000000000", "0 to 1125899906842624"),
        ("store.segment_bytes", "1", "65536 to"),
    ] {
        let told = error(load("", &[], &[(key, wrong)]));
        assert!(told.contains(key) && told.contains(bounds), "{told}");
    }
}

#[test]
fn a_store_is_named_and_an_embedded_one_is_in_the_data_directory() {
    let config = load("[server]\ndata_dir = \"here\"\n", &[], &[]).expect("valid");
    assert_eq!(config.store_name().expect("the default").to_string(), "embedded:here");
    let named = load("", &[("CHIRRUP_STORE_NAME", "cassandra:127.0.0.1:9042/chat")], &[]).expect("valid");
    assert_eq!(named.store_name().expect("checked").to_string(), "cassandra:127.0.0.1:9042/chat");
    assert!(error(load("", &[], &[("store.name", "mysql:chat")])).contains("store.name"));
    assert!(error(load("", &[], &[("store.name", "embedded:elsewhere")])).contains("server.data_dir"));
}
