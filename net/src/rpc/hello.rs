//! Which version of the protocol two builds speak with each other. Every build reads every other's
//! hello; whether they go on is decided here, on both sides by the same rule.

use super::head::{HEAD_BYTES, Head, Kind};
use super::payload::Payload;
use crate::proto::rpc::Hello;
use bytes::Bytes;
use mooseng_core::id::ClusterId;
use mooseng_core::plant;
use prost::Message;

/// The newest version of the protocol that this build speaks.
pub const VERSION_NEWEST: u32 = 1;
/// The oldest one.
pub const VERSION_OLDEST: u32 = 1;

/// The versions that one side can speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Versions {
    pub oldest: u32,
    pub newest: u32,
}

impl Default for Versions {
    fn default() -> Self {
        Self { oldest: VERSION_OLDEST, newest: VERSION_NEWEST }
    }
}

/// What one side says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Introduction {
    pub versions: Versions,
    /// Whose it is, if it says so.
    pub cluster: Option<ClusterId>,
    /// This build, for the peer's log.
    pub build: &'static str,
    /// It is a server of the cluster that calls.
    pub control: bool,
    /// Why a server does not go on with its caller; empty if it does.
    pub refusal: &'static str,
}

impl Introduction {
    pub fn new(versions: Versions, cluster: Option<ClusterId>, build: &'static str) -> Self {
        Self { versions, cluster, build, control: false, refusal: "" }
    }

    /// The head of the frame that says it.
    pub(super) fn head(&self) -> Bytes {
        let Self { versions, cluster, build, control, refusal } = self;
        assert!(versions.oldest <= versions.newest, "no version lies in {versions:?}");
        let hello = Hello {
            version_oldest: versions.oldest,
            version_newest: versions.newest,
            build: (*build).to_owned(),
            control: *control,
            refusal: (*refusal).to_owned(),
            cluster: cluster.map_or(0, |cluster| cluster.0),
        };
        Payload::of(&hello).into_head(&Head::of(Kind::Hello))
    }
}

/// What a peer that speaks our language has said of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Met {
    /// The newest version that both speak.
    pub(super) version: u32,
    pub(super) control: bool,
    pub(super) refusal: String,
}

/// Reads the first frame of a peer; an error is one line for a person.
pub(super) fn meet(ours: &Introduction, first: &Bytes) -> Result<Met, String> {
    let head = Head::decode(first).map_err(|error| format!("it does not speak our protocol: {error}"))?;
    let message = first.slice(HEAD_BYTES..);
    if head.kind != Kind::Hello {
        return Err(format!("it opened with a {:?} instead of a hello", head.kind));
    }
    let hello = Hello::decode(message).map_err(|error| format!("its hello does not decode: {error}"))?;
    let Introduction { versions, cluster, build, .. } = ours;
    let version = versions.newest.min(hello.version_newest);
    if version < versions.oldest.max(hello.version_oldest) || hello.version_newest < hello.version_oldest {
        return Err(format!(
            "it (build {}) speaks protocol versions {} to {}, this build ({build}) {} to {}: \
             upgrade the older of the two",
            shown(&hello.build),
            hello.version_oldest,
            hello.version_newest,
            versions.oldest,
            versions.newest
        ));
    }
    if let (Some(ours), theirs @ 1..) = (cluster, hello.cluster)
        && plant!("strangers-are-welcome", ours.0 != theirs, false)
    {
        let theirs = ClusterId(theirs);
        return Err(format!("it belongs to {theirs}, and this is {ours}: another cluster uses this address"));
    }
    Ok(Met { version, control: hello.control, refusal: shown(&hello.refusal) })
}

/// A stranger's text, cut to what fits a line.
fn shown(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(oldest: u32, newest: u32) -> Versions {
        Versions { oldest, newest }
    }

    #[test]
    fn neighbours_talk_and_use_the_newest_they_share() {
        for (ours, theirs, common) in [
            (versions(1, 1), versions(1, 2), Ok(1)),
            (versions(1, 2), versions(2, 3), Ok(2)),
            (versions(3, 5), versions(1, 4), Ok(4)),
            (versions(1, 1), versions(2, 3), Err(())),
            (versions(4, 5), versions(2, 3), Err(())),
        ] {
            let (ours, theirs) =
                (Introduction::new(ours, None, "here"), Introduction::new(theirs, None, "there"));
            for (one, other) in [(&ours, &theirs), (&theirs, &ours)] {
                let met = meet(one, &other.head()).map(|met| met.version);
                assert_eq!(met.map_err(|_| ()), common, "{one:?} with {other:?}");
            }
        }
    }

    #[test]
    fn a_stranger_who_is_let_in_is_found() {
        let of = |cluster| Introduction::new(versions(1, 1), Some(ClusterId(cluster)), "1.4");
        mooseng_core::plant::activate(Some("strangers-are-welcome"));
        let met = meet(&of(7), &of(8).head());
        mooseng_core::plant::activate(None);
        assert!(met.is_ok(), "the planted bug goes unseen");
    }

    #[test]
    fn who_belongs_to_another_cluster_is_a_stranger() {
        let of = |cluster: Option<u64>| Introduction::new(versions(1, 1), cluster.map(ClusterId), "1.4");
        for (ours, theirs, fits) in [
            (Some(7), Some(7), true),
            (Some(7), None, true),
            (None, Some(7), true),
            (None, None, true),
            (Some(7), Some(8), false),
        ] {
            assert_eq!(meet(&of(ours), &of(theirs).head()).is_ok(), fits, "{ours:?} with {theirs:?}");
        }
        let line = meet(&of(Some(7)), &of(Some(8)).head()).unwrap_err();
        assert_eq!(line, "it belongs to cluster-8, and this is cluster-7: another cluster uses this address");
    }

    #[test]
    fn what_is_said_is_heard() {
        let ours = Introduction::new(versions(1, 1), None, "1.4");
        let theirs = Introduction { control: true, refusal: "no\nroom", ..ours.clone() };
        let met = Met { version: 1, control: true, refusal: "noroom".to_owned() };
        assert_eq!(meet(&ours, &theirs.head()), Ok(met));
    }

    #[test]
    fn strangers_get_one_line() {
        let theirs = Introduction::new(versions(5, 6), None, "9\n.0");
        let line = meet(&Introduction::new(versions(1, 2), None, "1.4"), &theirs.head()).unwrap_err();
        assert_eq!(
            line,
            "it (build 9.0) speaks protocol versions 5 to 6, this build (1.4) 1 to 2: \
             upgrade the older of the two"
        );
        let upside_down = Hello { version_oldest: 9, version_newest: 1, ..Hello::default() };
        let upside_down = Payload::of(&upside_down).into_head(&Head::of(Kind::Hello));
        for first in [
            Bytes::from_static(b"GET / HTTP/1.1"),
            upside_down,
            Head::of(Kind::Ping).encode().to_vec().into(),
        ] {
            assert!(meet(&Introduction::new(versions(1, 9), None, "1.4"), &first).is_err());
        }
    }
}
