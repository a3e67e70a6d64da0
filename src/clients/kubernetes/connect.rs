//! From the settings to a client for one cluster. Reads files and the environment as kubectl does; sends nothing.

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use super::super::{CONNECT_TIMEOUT, ConnectError, DEFAULT_TIMEOUT, error, install_tls};
use super::{Settings, no_credentials};

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
        let what =
            if let kube::Error::Auth(error) = &error { no_credentials(error) } else { error::chain(&error) };
        ConnectError::new(format!("cannot use {from} to reach Kubernetes at {server}: {what}"))
    })?;
    Ok((client, server))
}

/// What a kubeconfig calls the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// The context.
    pub context: String,
    /// The cluster of that context.
    pub cluster: String,
}

/// How the kubeconfig of these settings calls the cluster that is meant; none in the cluster itself, where nothing has a name.
///
/// # Errors
/// When there is no usable kubeconfig, or it names no context.
pub fn called(settings: &Settings) -> Result<Option<Called>, ConnectError> {
    if settings.kubeconfig.is_none() && settings.context.is_none() && Config::incluster().is_ok() {
        return Ok(None);
    }
    let from = "the kubeconfig";
    let read = settings.kubeconfig.as_ref().map_or_else(Kubeconfig::read, Kubeconfig::read_from);
    let file = read.map_err(|error| unusable(from, &error))?;
    let wanted = settings.context.clone().or(file.current_context);
    let found = file.contexts.into_iter().find(|named| Some(&named.name) == wanted.as_ref());
    let cluster = found.and_then(|named| Some((named.name, named.context?.cluster)));
    cluster.map(|(context, cluster)| Some(Called { context, cluster })).ok_or_else(|| {
        let wanted = wanted.unwrap_or_default();
        ConnectError::new(format!(
            "the kubeconfig has no context {wanted:?}; see `kubectl config get-contexts`, and name one in `kubernetes.context`"
        ))
    })
}

/// The configuration, and where it came from in an operator's words.
async fn config(settings: &Settings) -> Result<(Config, String), ConnectError> {
    let options = KubeConfigOptions { context: settings.context.clone(), ..KubeConfigOptions::default() };
    if settings.kubeconfig.is_none() && settings.context.is_none() {
        // A pod's own service account comes first: a kubeconfig that happens to lie in an image must not win over it.
        if let Ok(config) = Config::incluster() {
            return Ok((config, "the pod's service account".to_owned()));
        }
    }
    let file = settings.kubeconfig.as_ref().map(|path| format!("the kubeconfig {}", path.display()));
    let context = settings.context.as_ref().map(|name| format!(", context {name:?}")).unwrap_or_default();
    let from = file.unwrap_or_else(|| "$KUBECONFIG or ~/.kube/config".to_owned()) + &context;
    let read = settings.kubeconfig.as_ref().map_or_else(Kubeconfig::read, Kubeconfig::read_from);
    let file = read.map_err(|error| unusable(&from, &error))?;
    let asks_for_proxy = file
        .clusters
        .iter()
        .any(|named| named.cluster.as_ref().is_some_and(|cluster| cluster.proxy_url.is_some()));
    let mut config =
        Config::from_custom_kubeconfig(file, &options).await.map_err(|error| unusable(&from, &error))?;
    if !asks_for_proxy {
        // kube takes $HTTPS_PROXY otherwise, and then fails, because it is built without proxies.
        config.proxy_url = None;
    }
    Ok((config, from))
}

fn unusable(from: &str, error: &KubeconfigError) -> ConnectError {
    let what = match error {
        // The parser shows the lines around its error, and tokens stand in them.
        KubeconfigError::Parse(error) => error.location().map_or_else(
            || "it is no YAML of a kubeconfig".to_owned(),
            |at| format!("it is no YAML of a kubeconfig at line {}, column {}", at.line(), at.column()),
        ),
        other => error::chain(other),
    };
    ConnectError::new(format!(
        "cannot find the Kubernetes cluster: {from} cannot be used: {what}; name a kubeconfig and a context, or run with a service \
         account in the cluster"
    ))
}
