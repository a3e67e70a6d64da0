//! The bound of a pool's growth: what the services of a database may ask of it together. Plain data.

/// As many connections as a database takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Within {
    /// The name of the RDS DB instance.
    pub database: String,
    /// The namespace of its services; none: the target's own.
    pub namespace: Option<String>,
    /// Every Deployment that connects to it, in the target's namespace.
    pub deployments: Vec<String>,
    /// How many connections the pool of one process keeps open.
    pub pool_size: Count,
    /// How many it opens besides when these are in use.
    pub max_overflow: Count,
    /// How many processes a pod has, each with a pool of its own.
    pub processes: Count,
    /// How many connections are left to others: administrators, migrations, RDS itself.
    pub reserved: u32,
}

impl Within {
    /// The environment variables that say how much is asked for.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        [&self.pool_size, &self.max_overflow, &self.processes].into_iter().filter_map(|count| match count {
            Count::Is(_) => None,
            Count::Env { name, .. } => Some(name.as_str()),
        })
    }
}

/// A number of each service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Count {
    /// The same for all.
    Is(u32),
    /// What an environment variable says.
    Env {
        /// Its name.
        name: String,
        /// The number of a service without the variable; none: then nobody knows.
        default: Option<u32>,
    },
}
