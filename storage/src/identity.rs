//! The file `identity` of a data directory: which cluster and which server it belongs to, and of
//! which kind that is. A server that was pointed at another's directory, or at one of another
//! cluster, finds out here, before it has read or changed anything else.
//!
//! An envelope (see `envelope`) with the magic `MOOSEIDN` around
//!
//! ```text
//!  0         8        16
//! +---------+--------+
//! | cluster | server |
//! +---------+--------+
//! ```
//!
//! stands at the start of the file and once more at byte 4,096: a bad sector takes one of them. The
//! kind lies 512 bytes behind each, in an envelope of its own with the magic `MOOSEROL`, where
//! nobody looks who does not know it:
//!
//! ```text
//!  0                                      8
//! +--------------------------------------+
//! | 1: metadata server, 2: chunk server  |
//! +--------------------------------------+
//! ```
//!
//! Everything else is zeros. A file without it is of whichever kind the rest of the directory is.

use crate::envelope::{Fault, Format};
use crate::error::StorageError;
use crate::field::{Fields, ancestors, join};
use bytes::Bytes;
use mooseng_core::env::{Disk, DiskError, Env, File, OpenMode};
use mooseng_core::id::{ClusterId, ServerId};

const IDENTITY: Format = Format { magic: b"MOOSEIDN", version: 1, name: "identity file", bytes_max: 512 };
const ROLE: Format = Format { magic: b"MOOSEROL", version: 1, name: "server's kind", bytes_max: 512 };
/// Behind an identity.
const ROLE_AT: usize = IDENTITY.bytes_max;
const COPY_AT: usize = 4096;
const NAME: &str = "identity";
const NEW_NAME: &str = "identity.new";

/// Whose data directory this is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    pub cluster: ClusterId,
    pub server: ServerId,
}

/// Of which kind a server is: numbers of two kinds have nothing to do with each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    Metadata,
    Chunks,
}

impl Role {
    fn number(self) -> u64 {
        match self {
            Role::Metadata => 1,
            Role::Chunks => 2,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Role::Metadata => "a metadata server",
            Role::Chunks => "a chunk server",
        }
    }

    /// What a server of this kind, and no other, keeps beside the identity.
    fn folder(self) -> &'static str {
        match self {
            Role::Metadata => "journal",
            Role::Chunks => "store",
        }
    }

    fn other(self) -> Self {
        match self {
            Role::Metadata => Role::Chunks,
            Role::Chunks => Role::Metadata,
        }
    }

    fn seal(self) -> Vec<u8> {
        ROLE.seal(&self.number().to_le_bytes())
    }

    /// The number of some kind, perhaps of none that there is by now.
    fn decode(bytes: &[u8]) -> Result<u64, Fault> {
        let (body, _) = ROLE.open(bytes)?;
        let mut fields = Fields::new(body);
        match (fields.u64(), fields.rest()) {
            (Some(number), []) => Ok(number),
            _ => Err(Fault::Broken),
        }
    }
}

impl Identity {
    /// Makes `directory` this server's. Refused if it is somebody's already.
    pub async fn format<E: Env>(&self, env: &E, directory: &str, role: Role) -> Result<(), StorageError> {
        let disk = env.disk();
        if !directory.is_empty() {
            disk.create_dir(directory).await?;
            for above in ancestors(directory) {
                disk.sync_dir(above).await?;
            }
        }
        let (path, new_path) = (join(directory, NAME), join(directory, NEW_NAME));
        if disk.list(directory).await?.iter().any(|name| name == NAME) {
            return Err(StorageError::Refused {
                file: path,
                why: "the data directory is formatted already".to_owned(),
                remedy: "start the server on it, or empty it if that server is gone for good",
            });
        }
        match disk.remove(&new_path).await {
            Ok(()) | Err(DiskError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let file = disk.open(&new_path, OpenMode::New).await?;
        file.write_at(0, Bytes::from(self.image(role))).await?;
        file.sync().await?;
        disk.rename(&new_path, &path).await?;
        disk.sync_dir(directory).await?;
        Ok(())
    }

    /// Whose `directory` is. Refused if that is a server of another kind.
    pub async fn read<E: Env>(env: &E, directory: &str, role: Role) -> Result<Self, StorageError> {
        let path = join(directory, NAME);
        let file = match env.disk().open(&path, OpenMode::Existing).await {
            Ok(file) => file,
            Err(DiskError::NotFound { .. }) => return Err(StorageError::Absent { file: path }),
            Err(error) => return Err(error.into()),
        };
        let (mut identity, mut kind) = (Err(Fault::Broken), Err(Fault::Broken));
        for (copy, at) in [0, COPY_AT].into_iter().enumerate() {
            let (own, behind) = match file.read_at(at as u64, ROLE_AT + ROLE.bytes_max).await {
                Ok(bytes) => {
                    let (own, behind) = bytes.split_at(bytes.len().min(ROLE_AT));
                    (Self::decode(own), Role::decode(behind))
                }
                Err(DiskError::Io { .. }) => (Err(Fault::Broken), Err(Fault::Broken)),
                Err(error) => return Err(error.into()),
            };
            if copy == 0 || identity.is_err() && own.is_ok() {
                identity = own;
            }
            if copy == 0 || kind.is_err() && behind.is_ok() {
                kind = behind;
            }
            if identity.is_ok() && kind.is_ok() {
                break;
            }
        }
        let identity = identity.map_err(|fault| IDENTITY.explain(fault, &path))?;
        let fits = match kind {
            Ok(number) => number == role.number(),
            Err(Fault::Version(_)) => false,
            // It was written before there were kinds, or both sectors are bad.
            Err(Fault::Broken | Fault::Foreign) => {
                let names = env.disk().list(directory).await?;
                let has = |role: Role| names.iter().any(|name| name == role.folder());
                has(role) || !has(role.other())
            }
        };
        if fits {
            return Ok(identity);
        }
        Err(StorageError::Refused {
            file: path,
            why: format!("the data directory does not belong to {}", role.name()),
            remedy: "point each server at its own",
        })
    }

    /// The whole file.
    fn image(&self, role: Role) -> Vec<u8> {
        let mut copy = self.encode();
        copy.resize(ROLE_AT, 0);
        copy.extend(role.seal());
        let mut image = copy.clone();
        image.resize(COPY_AT, 0);
        image.extend(copy);
        image
    }

    fn encode(&self) -> Vec<u8> {
        let mut body = [0; 16];
        body[..8].copy_from_slice(&self.cluster.0.to_le_bytes());
        body[8..].copy_from_slice(&self.server.0.to_le_bytes());
        IDENTITY.seal(&body)
    }

    fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let (body, _) = IDENTITY.open(bytes)?;
        let mut fields = Fields::new(body);
        let (Some(cluster), Some(server), []) = (fields.u64(), fields.u64(), fields.rest()) else {
            return Err(Fault::Broken);
        };
        Ok(Self { cluster: ClusterId(cluster), server: ServerId(server) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{End, Faults, Machine, hex};

    const IDENTITY_ONE: Identity = Identity { cluster: ClusterId(0xc1), server: ServerId(3) };

    fn format(machine: &Machine, faults: Faults) -> End<Result<(), StorageError>> {
        let env = machine.clone();
        machine.run(faults, async move { IDENTITY_ONE.format(&env, "", Role::Metadata).await })
    }

    fn read_as(machine: &Machine, role: Role) -> Result<Identity, StorageError> {
        let env = machine.clone();
        machine.finish(async move { Identity::read(&env, "", role).await })
    }

    fn read(machine: &Machine) -> Result<Identity, StorageError> {
        read_as(machine, Role::Metadata)
    }

    #[test]
    fn the_bytes_are_pinned() {
        insta::assert_snapshot!(hex(&IDENTITY_ONE.image(Role::Metadata)));
        assert_eq!(Identity::decode(&IDENTITY_ONE.encode()), Ok(IDENTITY_ONE));
    }

    #[test]
    fn an_identity_is_there_or_not_wherever_the_power_goes() {
        let mut seen = [0, 0];
        for crash_at in 0..12 {
            let machine = Machine::new(crash_at);
            let end = format(&machine, Faults { crash_at: Some(crash_at), ..Faults::default() });
            machine.lose_power();
            match read(&machine) {
                Ok(identity) => {
                    assert_eq!(identity, IDENTITY_ONE);
                    seen[0] += 1;
                }
                Err(error) => {
                    assert_eq!(error, StorageError::Absent { file: "identity".to_owned() });
                    assert_eq!(end, End::Crashed, "formatted and forgotten");
                    seen[1] += 1;
                    assert_eq!(
                        format(&machine, Faults::default()),
                        End::Done(Ok(())),
                        "it can be formatted again"
                    );
                }
            }
        }
        assert!(seen[0] > 2 && seen[1] > 2, "{seen:?}");
    }

    #[test]
    fn what_is_no_identity_is_refused_by_one_line() {
        let machine = Machine::new(1);
        let line = |bytes: &[u8]| {
            let machine = machine.copy(1);
            machine.with_images(|images| images.put("identity", bytes));
            read(&machine).unwrap_err().to_string()
        };
        assert_eq!(
            line(b"hello"),
            "identity: this is no MooseNG identity file; move it away, or point the server at its own data directory"
        );
        let whole = IDENTITY_ONE.encode();
        assert_eq!(
            line(&whole[..30]),
            "identity: the head of this identity file is cut short or fails its checksum; empty the data directory \
             and let the server join again as a new one"
        );
        let newer = Format { version: 9, ..IDENTITY }.seal(b"something else");
        assert!(line(&newer).contains("has format version 9, and this program knows 1"));
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Identity::decode(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn either_copy_is_enough() {
        let machine = Machine::new(1);
        assert_eq!(format(&machine, Faults::default()), End::Done(Ok(())));
        let whole = machine.with_images(|images| images.dump())["identity"].clone();
        for at in 0..whole.len() {
            machine.with_images(|images| {
                images.alter("identity", |bytes| {
                    bytes.clone_from(&whole);
                    bytes[at] ^= 1;
                })
            });
            assert_eq!(read(&machine), Ok(IDENTITY_ONE), "byte {at}");
        }
        machine.with_images(|images| _ = images.unreadable.insert(("identity".to_owned(), 0)));
        machine.with_images(|images| images.alter("identity", |bytes| bytes.clone_from(&whole)));
        assert_eq!(read(&machine), Ok(IDENTITY_ONE));
    }

    /// The same number of another kind of server, by a file with and without kinds.
    #[test]
    fn a_server_of_another_kind_is_refused() {
        let machine = Machine::new(1);
        assert_eq!(format(&machine, Faults::default()), End::Done(Ok(())));
        let wanted =
            "identity: the data directory does not belong to a chunk server; point each server at its own";
        assert_eq!(read(&machine), Ok(IDENTITY_ONE));
        assert_eq!(read_as(&machine, Role::Chunks).unwrap_err().to_string(), wanted);
        let mut old = IDENTITY_ONE.encode();
        old.resize(COPY_AT, 0);
        old.extend(IDENTITY_ONE.encode());
        machine.with_images(|images| images.put("identity", &old));
        assert_eq!(read_as(&machine, Role::Chunks), Ok(IDENTITY_ONE), "there is nothing of either kind");
        machine.with_images(|images| images.put("journal", b"a folder, in this world"));
        assert_eq!(read(&machine), Ok(IDENTITY_ONE));
        assert_eq!(read_as(&machine, Role::Chunks).unwrap_err().to_string(), wanted);
    }

    #[test]
    fn a_directory_is_formatted_once() {
        let machine = Machine::new(1);
        assert_eq!(format(&machine, Faults::default()), End::Done(Ok(())));
        let End::Done(Err(error)) = format(&machine, Faults::default()) else { panic!("formatted twice") };
        assert_eq!(
            error.to_string(),
            "identity: the data directory is formatted already; start the server on it, or empty it if that server \
             is gone for good"
        );
    }
}
