//! Why a verb did not do its work: one line each.

use crate::fuse::MountError;
use crate::machine::StartError;
use crate::settings::SettingsError;
use mooseng_client::ClientError;
use mooseng_core::namespace::Refusal;

#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Mount(#[from] MountError),
    #[error("{path}: {refusal}")]
    Refused { path: String, refusal: Refusal },
    #[error("nobody reads what is printed")]
    Unheard,
    #[error("{0}")]
    Other(String),
}

impl Failure {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Failure::Settings(_) => 2,
            _ => 1,
        }
    }
}
