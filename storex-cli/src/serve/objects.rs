//! Opens the object store of `--objects`.

use std::path::PathBuf;
use std::sync::Arc;

use storex_core::TokioRuntime;
use storex_server::Objects;
use storex_sync::SyncError;
use storex_sync::object_store::path::Path;
use storex_sync::object_store::prefix::PrefixStore;
use storex_sync::object_store::{Error, ObjectStore};

use crate::error::{CliError, During as _, Result, describe};

const DURING: &str = "opening the object store";

/// A folder, or `scheme://bucket/prefix`. Somebody has to answer there.
pub(super) async fn open(address: &str) -> Result<Objects> {
    let Some((scheme, rest)) = address.split_once("://") else { return folder(address.into()) };
    let (_, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = Path::from_url_path(prefix);
    let prefix = prefix.map_err(|error| asked(format!("{address}: {error}")))?;
    if scheme == "file" {
        return match rest.starts_with('/') {
            true => folder(format!("/{prefix}").into()),
            false => Err(asked(format!("{address}: a folder is file:///FOLDER, or just FOLDER"))),
        };
    }
    let store = PrefixStore::new(bucket(scheme, address)?, prefix);
    // Better known now than when the first snapshot is made.
    store.list_with_delimiter(None).await.map_err(failed).during(DURING)?;
    Ok(Objects::new(Arc::new(store), Arc::new(TokioRuntime)))
}

fn folder(path: PathBuf) -> Result<Objects> {
    Objects::in_folder(path, Arc::new(TokioRuntime)).during(DURING)
}

fn failed(error: Error) -> storex_server::ServerError {
    SyncError::Transport { during: "asking the object store", reason: describe(&error) }.into()
}

fn asked(reason: String) -> CliError {
    CliError::Asked { reason }
}

/// Credentials and what else there is to say are in the environment, by the names that `object_store` has for them.
fn bucket(scheme: &str, address: &str) -> Result<Arc<dyn ObjectStore>> {
    // The primitives of its TLS, before anything is built on it. They may be there already.
    #[cfg(feature = "cloud")]
    let _ = rustls::crypto::ring::default_provider().install_default();
    match scheme {
        #[cfg(feature = "s3")]
        "s3" => {
            use storex_sync::object_store::aws::AmazonS3Builder;
            let builder = AmazonS3Builder::from_env().with_url(address).with_retry(patience());
            built(builder.build())
        }
        #[cfg(feature = "gcs")]
        "gs" => {
            use storex_sync::object_store::gcp::GoogleCloudStorageBuilder;
            let builder = GoogleCloudStorageBuilder::from_env().with_url(address);
            built(builder.with_retry(patience()).build())
        }
        #[cfg(feature = "azure")]
        "az" => {
            use storex_sync::object_store::azure::MicrosoftAzureBuilder;
            let builder = MicrosoftAzureBuilder::from_env().with_url(address);
            built(builder.with_retry(patience()).build())
        }
        other => Err(asked(match feature_of(other) {
            Some(feature) => format!(
                "{address}: this program was built without it; build it with `cargo install --features {feature}`"
            ),
            None => format!(
                "{address}: no object store that is known; give a folder, s3://BUCKET/PREFIX, gs://.. or az://.."
            ),
        })),
    }
}

fn feature_of(scheme: &str) -> Option<&'static str> {
    match scheme {
        "s3" => Some("s3"),
        "gs" => Some("gcs"),
        "az" => Some("azure"),
        _ => None,
    }
}

/// A device that waits is told to come again before it gives up by itself.
#[cfg(feature = "cloud")]
fn patience() -> storex_sync::object_store::RetryConfig {
    let retry_timeout = std::time::Duration::from_secs(20);
    storex_sync::object_store::RetryConfig { retry_timeout, ..Default::default() }
}

#[cfg(feature = "cloud")]
fn built(
    store: storex_sync::object_store::Result<impl ObjectStore>,
) -> Result<Arc<dyn ObjectStore>> {
    Ok(Arc::new(store.map_err(failed).during(DURING)?))
}
