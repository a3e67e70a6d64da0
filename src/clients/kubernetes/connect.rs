//! From the settings to a client for one cluster. Reads files and the environment as kubectl does; sends nothing.

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::super::{CONNECT_TIMEOUT, ConnectError, DEFAULT_TIMEOUT, error, install_tls};
use super::Settings;

/// A client that sends everything once and waits for nothing for ever, and the URL of its server.
pub(super) async fn client(settings: &Settings) -> Result<(Client, http::Uri), ConnectError> {
    install_tls();
    let (mut config, from) = config(settings).await?;
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(DEFAULT_TIMEOUT);
    config.write_timeout = Some(DEFAULT_TIMEOUT);
    // Else the time that a pooled connection was idle counts as waiting for an answer.
    config.reset_reader_on_write = true;
    let server = config.cluster_url.clone();
    let client = Client::try_from(config).map_err(|error| {
        ConnectError::new(format!(
            "cannot use {from} to reach Kubernetes at {server}: {}",
            error::chain(&error)
        ))
    })?;
    Ok((client, server))
}

/// The configuration, and where it came from in an operator's words.
async fn config(settings: &Settings) -> Result<(Config, String), ConnectError> {
    let options = KubeConfigOptions { context: settings.context.clone(), ..KubeConfigOptions::default() };
    let context = settings.context.as_ref().map(|name| format!(", context {name:?}")).unwrap_or_default();
    if let Some(path) = &settings.kubeconfig {
        let from = format!("the kubeconfig {}{context}", path.display());
        let file = Kubeconfig::read_from(path).map_err(|error| unusable(&from, &error))?;
        let config =
            Config::from_custom_kubeconfig(file, &options).await.map_err(|error| unusable(&from, &error))?;
        return Ok((config, from));
    }
    if settings.context.is_none() {
        // A pod's own service account comes first: a kubeconfig that happens to lie in an image must not win over it.
        if let Ok(config) = Config::incluster() {
            return Ok((config, "the pod's service account".to_owned()));
        }
    }
    let from = format!("$KUBECONFIG or ~/.kube/config{context}");
    let config = Config::from_kubeconfig(&options).await.map_err(|error| unusable(&from, &error))?;
    Ok((config, from))
}

fn unusable(from: &str, error: &(dyn std::error::Error + 'static)) -> ConnectError {
    ConnectError::new(format!(
        "cannot find the Kubernetes cluster: {from} cannot be used: {}; name a kubeconfig and a context, or run with a service account in the cluster",
        error::chain(error)
    ))
}
