//! The one place where an error becomes a number.

use fuser::Errno;
use mooseng_client::mount::FsError;
use mooseng_core::namespace::Refusal;

pub(super) fn errno(error: &FsError) -> Errno {
    match error {
        FsError::Refused(refusal) => refused(*refusal),
        FsError::TimedOut { .. } => Errno::ETIMEDOUT,
        FsError::SessionLost | FsError::Io { .. } => Errno::EIO,
        FsError::BadHandle => Errno::EBADF,
        FsError::TooManyHandles => Errno::ENFILE,
        FsError::Unsupported => Errno::EOPNOTSUPP,
        FsError::NoSpace { .. } => Errno::ENOSPC,
        FsError::TooLarge => Errno::EFBIG,
    }
}

fn refused(refusal: Refusal) -> Errno {
    match refusal {
        Refusal::NotFound => Errno::ENOENT,
        Refusal::Exists => Errno::EEXIST,
        Refusal::NotDirectory => Errno::ENOTDIR,
        Refusal::IsDirectory => Errno::EISDIR,
        Refusal::NotEmpty => Errno::ENOTEMPTY,
        Refusal::Invalid => Errno::EINVAL,
        Refusal::NameTooLong => Errno::ENAMETOOLONG,
        Refusal::TooManyLinks => Errno::EMLINK,
        Refusal::NotPermitted => Errno::EPERM,
        Refusal::AccessDenied => Errno::EACCES,
        // The kernel walks the path once more when it meets this.
        Refusal::Stale => Errno::ESTALE,
        Refusal::NoSpace => Errno::ENOSPC,
        Refusal::NoAttribute => Errno::NO_XATTR,
        Refusal::TooBig => Errno::E2BIG,
        Refusal::Unsupported => Errno::EOPNOTSUPP,
        // Between the client and the service: an application meets it when they have lost each other.
        Refusal::NotPending | Refusal::TooManyPending | Refusal::TooFragmented | Refusal::Conflict => {
            Errno::EIO
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What applications are promised, by number: the table in docs/posix.md.
    #[test]
    fn every_error_has_its_number() {
        let last = String::new();
        for (error, number) in [
            (FsError::Refused(Refusal::NotPermitted), 1),
            (FsError::Refused(Refusal::NotFound), 2),
            (FsError::Refused(Refusal::TooBig), 7),
            (FsError::Refused(Refusal::NoAttribute), 61),
            (FsError::Refused(Refusal::Unsupported), 95),
            (FsError::SessionLost, 5),
            (FsError::Io { what: String::new() }, 5),
            (FsError::Refused(Refusal::NotPending), 5),
            (FsError::BadHandle, 9),
            (FsError::Refused(Refusal::AccessDenied), 13),
            (FsError::Refused(Refusal::Exists), 17),
            (FsError::Refused(Refusal::NotDirectory), 20),
            (FsError::Refused(Refusal::IsDirectory), 21),
            (FsError::Refused(Refusal::Invalid), 22),
            (FsError::TooManyHandles, 23),
            (FsError::TooLarge, 27),
            (FsError::Refused(Refusal::NoSpace), 28),
            (FsError::NoSpace { what: String::new() }, 28),
            (FsError::Refused(Refusal::TooManyLinks), 31),
            (FsError::Refused(Refusal::NameTooLong), 36),
            (FsError::Refused(Refusal::NotEmpty), 39),
            (FsError::Unsupported, 95),
            (FsError::TimedOut { last }, 110),
            (FsError::Refused(Refusal::Stale), 116),
        ] {
            assert_eq!(errno(&error), Errno::from_i32(number), "{error}");
        }
    }
}
