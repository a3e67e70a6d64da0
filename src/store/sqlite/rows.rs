//! Statements with many rows: one text for each power of two, so that few are prepared and few are run.

use std::sync::{Arc, OnceLock};

use sqlx::AssertSqlSafe;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection, SqliteRow};

/// A statement in progress.
pub(super) type Bound = Query<'static, Sqlite, SqliteArguments>;

/// The longest statement has 2 to this power rows.
const POWERS: usize = 8;

/// A statement whose text is `head`, then one list of placeholders for each row, then `tail`.
pub(super) struct Rows {
    head: &'static str,
    columns: usize,
    tail: &'static str,
    texts: [OnceLock<Arc<str>>; POWERS],
}

impl Rows {
    /// `INSERT .. VALUES (..), (..) ..` with this many columns.
    pub(super) const fn insert(head: &'static str, columns: usize, tail: &'static str) -> Self {
        Self { head, columns, tail, texts: [const { OnceLock::new() }; POWERS] }
    }

    fn text(&self, power: usize) -> Arc<str> {
        let make = || {
            // Not `$1`, `$2`, ..: SQLite looks a numbered placeholder up among all others each time it is bound.
            let row = format!("({})", vec!["?"; self.columns].join(", "));
            let rows = vec![row; 1 << power].join(", ");
            format!("{} {} {}", self.head, rows, self.tail).into()
        };
        self.texts[power].get_or_init(make).clone()
    }

    /// Runs it for all rows, and returns what it returns.
    pub(super) async fn run<T: Sync>(
        &self,
        connection: &mut SqliteConnection,
        rows: &[T],
        bind: impl Fn(Bound, &T) -> Bound + Send + Sync,
    ) -> Result<Vec<SqliteRow>, sqlx::Error> {
        let mut returned = Vec::new();
        let mut rest = rows;
        while !rest.is_empty() {
            let power = (rest.len().ilog2() as usize).min(POWERS - 1);
            let (these, others) = rest.split_at(1 << power);
            // The text is made of constants above; values are only ever bound.
            let query = sqlx::query(AssertSqlSafe(self.text(power)));
            let query = these.iter().fold(query, &bind);
            returned.extend(query.fetch_all(&mut *connection).await?);
            rest = others;
        }
        Ok(returned)
    }
}
