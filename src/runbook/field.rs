//! The values in an object of the cluster that can be changed for a while, and put back: where each stands, and when two texts of it are
//! the same value. Plain data.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::quantity::Quantity;
use super::secrecy::{holds_secret, is_secret};

/// A value in an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// How many pods a workload has.
    Replicas,
    /// The fewest pods that an autoscaler leaves its target.
    MinReplicas,
    /// How much of a resource a container may use.
    Limit {
        /// The container.
        container: String,
        /// Such as `memory`.
        resource: String,
    },
    /// How much of a resource is kept free for a container.
    Request {
        /// The container.
        container: String,
        /// Such as `memory`.
        resource: String,
    },
    /// An environment variable of a container.
    Env {
        /// The container.
        container: String,
        /// Its name.
        name: String,
    },
    /// Whether new pods are kept away from a node. No runbook sets it by itself.
    Unschedulable,
}

impl Field {
    /// The way to the value: keys of objects, and in `[..]` the name of an item of a list.
    #[must_use]
    pub fn path(&self) -> Vec<String> {
        let of_pod = |container: &str, rest: &[&str]| {
            let mut path: Vec<String> =
                ["spec", "template", "spec", "containers"].map(str::to_owned).to_vec();
            path.push(format!("[{container}]"));
            path.extend(rest.iter().map(|part| (*part).to_owned()));
            path
        };
        match self {
            Self::Replicas => vec!["spec".to_owned(), "replicas".to_owned()],
            Self::MinReplicas => vec!["spec".to_owned(), "minReplicas".to_owned()],
            Self::Limit { container, resource } => of_pod(container, &["resources", "limits", resource]),
            Self::Request { container, resource } => of_pod(container, &["resources", "requests", resource]),
            Self::Env { container, name } => of_pod(container, &["env", &format!("[{name}]"), "value"]),
            Self::Unschedulable => vec!["spec".to_owned(), "unschedulable".to_owned()],
        }
    }

    /// Whether its value is a number, and no text.
    #[must_use]
    pub const fn is_number(&self) -> bool {
        matches!(self, Self::Replicas | Self::MinReplicas)
    }

    /// Whether its value is true or false, and no text.
    #[must_use]
    pub const fn is_boolean(&self) -> bool {
        matches!(self, Self::Unschedulable)
    }

    /// The value, or what it stands for that there is none: the API server leaves a `false` out.
    #[must_use]
    pub fn or_absent<'v>(&self, value: Option<&'v str>) -> Option<&'v str> {
        value.or_else(|| self.is_boolean().then_some("false"))
    }

    /// The value as it is shown: somebody else may have written it, and what may be a secret is not said.
    #[must_use]
    pub fn shown<'t>(&self, value: &'t str) -> &'t str {
        match self {
            Self::Env { name, .. } if is_secret(name) || holds_secret(value) => "what may be a secret",
            _ => value,
        }
    }

    /// Whether a change of it makes new pods.
    #[must_use]
    pub const fn rolls_out(&self) -> bool {
        match self {
            Self::Replicas | Self::MinReplicas | Self::Unschedulable => false,
            Self::Limit { .. } | Self::Request { .. } | Self::Env { .. } => true,
        }
    }

    /// Whether both stand for the same value: `1024Mi` is `1Gi`. Nothing is a value of its own, but for what is true or false.
    #[must_use]
    pub fn same(&self, one: Option<&str>, other: Option<&str>) -> bool {
        match (self, self.or_absent(one), self.or_absent(other)) {
            (_, None, None) => true,
            (Self::Limit { .. } | Self::Request { .. }, Some(one), Some(other)) if one != other => {
                let read = |text: &str| text.parse::<Quantity>().ok();
                read(one).is_some() && read(one) == read(other)
            }
            (_, Some(one), Some(other)) => one == other,
            _ => false,
        }
    }
}

impl fmt::Display for Field {
    /// In the words of the field: `memory limit of the container inference`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replicas => f.write_str("replicas"),
            Self::MinReplicas => f.write_str("minReplicas"),
            Self::Limit { container, resource } => write!(f, "{resource} limit of {container}"),
            Self::Request { container, resource } => write!(f, "{resource} request of {container}"),
            Self::Env { container, name } => write!(f, "{name} of {container}"),
            Self::Unschedulable => f.write_str("unschedulable"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_compared_by_their_value_and_all_else_by_its_text() {
        let limit = Field::Limit { container: "c".to_owned(), resource: "memory".to_owned() };
        assert!(limit.same(Some("1024Mi"), Some("1Gi")));
        assert!(!limit.same(Some("1G"), Some("1Gi")));
        assert!(!limit.same(Some("x"), Some("y")), "what is no quantity is equal to nothing else");
        assert!(!limit.same(None, Some("0")));
        let env = Field::Env { container: "c".to_owned(), name: "SIZE".to_owned() };
        assert!(!env.same(Some("1024Mi"), Some("1Gi")));
        assert!(env.same(None, None) && env.same(Some("5"), Some("5")));
    }

    #[test]
    fn that_a_node_says_nothing_of_it_is_that_it_takes_pods() {
        let field = Field::Unschedulable;
        assert!(field.same(None, Some("false")) && field.same(Some("false"), None) && field.same(None, None));
        assert!(!field.same(None, Some("true")) && !field.same(Some("true"), Some("false")));
        assert!(!Field::Replicas.same(None, Some("false")), "of nothing else is that known");
    }
}
