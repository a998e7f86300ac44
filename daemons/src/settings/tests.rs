//! Where values come from, and how bad ones are refused.

#![allow(clippy::disallowed_methods, reason = "a configuration is a file of the real world")]

use super::value::{ByteSize, Peer};
use super::*;
use mooseng_core::env::Address;
use mooseng_core::id::ServerId;
use std::time::Duration;

static SECTION: Section = Section {
    name: "meta",
    keys: &[
        key("listen", "HOST:PORT", None, "Where to listen"),
        key("session-life", "TIME", Some("60s"), "How long one lives"),
        key("peers", "LIST", None, "All servers").or("members"),
    ],
};
static OTHER: Section = Section { name: "chunk", keys: &[] };

fn flags(arguments: &[&str]) -> ArgMatches {
    let command = SECTION.flags(Command::new("meta").no_binary_name(true));
    command.try_get_matches_from(arguments).unwrap()
}

fn settings(arguments: &[&str], variables: &[(&str, &str)], file: &str) -> Settings {
    let directory = std::env::temp_dir();
    let path = directory.join(format!("mooseng-settings-{}-{}", std::process::id(), crate_counter()));
    std::fs::write(&path, file).unwrap();
    let path_text = path.display().to_string();
    let arguments = [&["--config", &path_text], arguments].concat();
    let variable =
        |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let settings = Settings::resolve(&SECTION, &[&SECTION, &OTHER], &flags(&arguments), variable);
    std::fs::remove_file(&path).unwrap();
    settings.unwrap()
}

fn crate_counter() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

#[test]
fn flags_beat_variables_and_variables_beat_the_file() {
    let file = "[meta]\nlisten = \"file:1\"\nsession-life = \"1s\"\npeers = [\"1=a:1\", \"2=b:2\"]\n";
    let variables = [("MOOSENG_META_LISTEN", "variable:2"), ("MOOSENG_META_SESSION_LIFE", "2s")];
    let all = settings(&["--session-life", "3s"], &variables, file);
    assert_eq!(all.get::<Duration>("session-life"), Ok(Duration::from_secs(3)));
    assert_eq!(all.get::<Address>("listen"), Ok(Address::new("variable:2")));
    let peers: Vec<Peer> = all.get("peers").unwrap();
    assert_eq!(peers[1], Peer { server: ServerId(2), address: Address::new("b:2") });
    for (flag, variables, file) in [
        (&["--members", "3=c:3"][..], &[][..], ""),
        (&[], &[("MOOSENG_META_MEMBERS", "3=c:3")], ""),
        (&[], &[], "[meta]\nmembers = \"3=c:3\"\n"),
    ] {
        let peers: Vec<Peer> = settings(flag, variables, file).get("peers").unwrap();
        assert_eq!(peers[0].server, ServerId(3), "either name will do");
    }
    let none = settings(&[], &[], "");
    assert_eq!(none.get::<Duration>("session-life"), Ok(Duration::from_secs(60)), "the default");
    assert_eq!(none.find::<Address>("listen"), Ok(None));
}

#[test]
fn a_missing_key_says_how_to_set_it() {
    let error = settings(&[], &[], "").get::<Address>("listen").unwrap_err().to_string();
    assert_eq!(
        error,
        "listen: not set; give --listen, set MOOSENG_META_LISTEN, or write `listen = …` under [meta]"
    );
}

#[test]
fn a_bad_value_names_its_key_its_source_and_the_remedy() {
    let bad = settings(&["--listen", "nowhere"], &[("MOOSENG_META_SESSION_LIFE", "60")], "");
    assert_eq!(
        bad.get::<Address>("listen").unwrap_err().to_string(),
        "listen: \"nowhere\", given as a flag, has no port; write HOST:PORT, like 10.0.0.1:9421"
    );
    assert_eq!(
        bad.get::<Duration>("session-life").unwrap_err().to_string(),
        "session-life: \"60\", from the variable MOOSENG_META_SESSION_LIFE, has no unit; \
         write a time in ms, s, m, h or d, like 250ms, 10s or 5m"
    );
}

#[test]
fn a_bad_file_is_refused_in_one_line() {
    for (text, wanted) in [
        ("[meta]\nlisen = 1\n", "F: [meta] has no key `lisen`; use one of: listen, session-life, peers"),
        ("[mete]\n", "F: `mete` is no section; use [meta], [chunk]"),
        ("[chunk]\nlisten = 1\n", "F: [chunk] has no key `listen`; use one of: "),
        ("meta = 1\n", "F: `meta` is a section; write [meta]"),
        ("[meta]\nlisten = 1.5\n", "F: `listen` in [meta] is a number with a point; give a string"),
        ("[meta]\nlisten = [1]\n", "F: `listen` in [meta] is a list of something else than strings; give"),
        ("[meta]\npeers = \"1=a:1\"\nmembers = \"2=a:1\"\n", "F: `peers` in [meta] is set twice, once as `"),
        ("[meta]\n\nlisten = = 2\n", "F: line 3: "),
    ] {
        let error = File::parse("F".to_owned(), text, &[&SECTION, &OTHER]).unwrap_err().to_string();
        assert!(error.starts_with(wanted), "{text:?}: {error}");
        assert!(!error.contains('\n'), "{text:?}: {error:?}");
    }
    let missing = File::read(Path::new("/nowhere/at/all"), &[&SECTION]).unwrap_err().to_string();
    assert!(missing.starts_with("/nowhere/at/all: "), "{missing}");
}

#[test]
fn values_are_read_as_people_write_them() {
    assert_eq!(ByteSize::from_text("64MiB"), Ok(ByteSize(64 << 20)));
    assert_eq!(ByteSize::from_text("512"), Ok(ByteSize(512)));
    assert_eq!(Duration::from_text("250ms"), Ok(Duration::from_millis(250)));
    assert_eq!(Duration::from_text("2d"), Ok(Duration::from_secs(172_800)));
    assert_eq!(Address::from_text("[::1]:9421"), Ok(Address::new("[::1]:9421")));
    for bad in ["", "x", "1XB", "99999999999999999999", "17179869184GiB", "-1"] {
        assert!(ByteSize::from_text(bad).is_err(), "{bad:?}");
        assert!(Duration::from_text(bad).is_err(), "{bad:?}");
    }
    for bad in ["", "host", ":1", "host:", "host:65536", "host:-1", "host:0"] {
        assert!(Address::from_text(bad).is_err(), "{bad:?}");
    }
    for bad in ["", "1", "0=a:1", "x=a:1", "1=a"] {
        assert!(Peer::from_text(bad).is_err(), "{bad:?}");
    }
}
