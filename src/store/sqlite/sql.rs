//! How statements are run: prepared once per connection, values bound in their order.
//!
//! The texts say `$1`, `$2`, .., which every database knows. For SQLite these are names, and it counts them in the
//! order in which they first appear: each text numbers them in that order.

use rusqlite::{CachedStatement, Connection, Error, Row, Rows, ToSql};

/// What a row is made into; tuples of up to 16 columns already are.
pub(super) trait FromRow: for<'r> TryFrom<&'r Row<'r>, Error = Error> {}

impl<T: for<'r> TryFrom<&'r Row<'r>, Error = Error>> FromRow for T {}

/// A statement that is run many times.
pub(super) struct Statement<'c>(CachedStatement<'c>);

impl<'c> Statement<'c> {
    pub(super) fn new(connection: &'c Connection, text: &'static str) -> Result<Self, Error> {
        connection.prepare_cached(text).map(Self)
    }

    fn bind(&mut self, values: &[&dyn ToSql]) -> Result<&mut CachedStatement<'c>, Error> {
        debug_assert_eq!(values.len(), self.0.parameter_count(), "each placeholder has its value");
        for (index, value) in (1..).zip(values) {
            debug_assert_eq!(self.0.parameter_name(index), Some(format!("${index}").as_str()));
            self.0.raw_bind_parameter(index, value)?;
        }
        Ok(&mut self.0)
    }

    /// How many rows it changed.
    pub(super) fn execute(&mut self, values: &[&dyn ToSql]) -> Result<usize, Error> {
        self.bind(values)?.raw_execute()
    }
}

fn next<T: FromRow>(rows: &mut Rows<'_>) -> Result<Option<T>, Error> {
    rows.next()?.map(T::try_from).transpose()
}

/// How many rows it changed.
pub(super) fn execute(
    connection: &Connection,
    text: &'static str,
    values: &[&dyn ToSql],
) -> Result<usize, Error> {
    Statement::new(connection, text)?.execute(values)
}

/// All rows.
pub(super) fn all<T: FromRow>(
    connection: &Connection,
    text: &'static str,
    values: &[&dyn ToSql],
) -> Result<Vec<T>, Error> {
    let mut statement = Statement::new(connection, text)?;
    let mut rows = statement.bind(values)?.raw_query();
    let mut all = Vec::new();
    while let Some(row) = next(&mut rows)? {
        all.push(row);
    }
    Ok(all)
}

/// The first row. A statement that writes has at most one.
pub(super) fn first<T: FromRow>(
    connection: &Connection,
    text: &'static str,
    values: &[&dyn ToSql],
) -> Result<Option<T>, Error> {
    next(&mut Statement::new(connection, text)?.bind(values)?.raw_query())
}
