//! The formulas in which a DB parameter group says a number, such as `LEAST({DBInstanceClassMemory/9531392},5000)`. Pure.
//!
//! As AWS documents them (<https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_ParamValuesRef.html>): an expression in braces of variables and
//! whole numbers with `*` and `/`, which cut off what is behind the point; the functions GREATEST, LEAST and SUM of such. Whatever else AWS may evaluate (`log`,
//! `IF`, other variables) is an error here: what is not understood is not known.

/// The most that a formula may be nested.
const DEEPEST: u32 = 16;

/// What the variables stand for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Variables {
    /// `DBInstanceClassMemory`, in bytes; none when nobody knows.
    pub(super) memory: Option<u64>,
    /// `AllocatedStorage`, in bytes.
    pub(super) storage: Option<u64>,
}

/// The number that a formula comes to. It never grows when a variable shrinks, so a memory that is taken too small gives a number that is too small:
/// a variable may not be divided by.
///
/// # Errors
/// What is not understood, in words.
pub(super) fn number(formula: &str, variables: Variables) -> Result<u64, String> {
    let mut reader = Reader { rest: formula.trim(), variables };
    let value = reader.product(DEEPEST)?;
    if !reader.rest.is_empty() {
        return Err(format!("{:?} is not understood", reader.rest));
    }
    Ok(value)
}

struct Reader<'f> {
    rest: &'f str,
    variables: Variables,
}

impl<'f> Reader<'f> {
    fn takes(&mut self, symbol: char) -> bool {
        let after = self.rest.trim_start().strip_prefix(symbol);
        if let Some(after) = after {
            self.rest = after.trim_start();
        }
        after.is_some()
    }

    fn expects(&mut self, symbol: char) -> Result<(), String> {
        if self.takes(symbol) {
            return Ok(());
        }
        Err(if self.rest.is_empty() {
            format!("there is no `{symbol}` at the end")
        } else {
            format!("there is {:?} where `{symbol}` was expected", self.rest)
        })
    }

    fn product(&mut self, deep: u32) -> Result<u64, String> {
        let deep = deep.checked_sub(1).ok_or("it is nested too deep")?;
        let mut value = self.term(deep)?;
        loop {
            if self.takes('*') {
                let by = self.term(deep)?;
                value = value.checked_mul(by).ok_or("it grows too large")?;
            } else if self.takes('/') {
                let by = self.digits().ok_or("it divides by something other than a number")?;
                let by: u64 = by.parse().map_err(|_| "a number is too large")?;
                value = value.checked_div(by).ok_or("it divides by 0")?;
            } else {
                return Ok(value);
            }
        }
    }

    fn term(&mut self, deep: u32) -> Result<u64, String> {
        if self.takes('{') {
            let value = self.product(deep)?;
            self.expects('}')?;
            return Ok(value);
        }
        if let Some(digits) = self.digits() {
            return digits.parse().map_err(|_| "a number is too large".to_owned());
        }
        let name = self.word(|c| c.is_ascii_alphanumeric()).ok_or_else(|| match self.rest {
            "" => "it ends in the middle".to_owned(),
            rest => format!("{rest:?} is not understood"),
        })?;
        if self.takes('(') {
            return self.function(name, deep);
        }
        let known = match name {
            "DBInstanceClassMemory" => self.variables.memory,
            "AllocatedStorage" => self.variables.storage,
            _ => None,
        };
        known.ok_or_else(|| format!("the value of {name} is not known"))
    }

    fn function(&mut self, name: &str, deep: u32) -> Result<u64, String> {
        let mut values = vec![self.product(deep)?];
        while self.takes(',') {
            values.push(self.product(deep)?);
        }
        self.expects(')')?;
        let mut values = values.into_iter();
        match name.to_ascii_uppercase().as_str() {
            "LEAST" => values.min(),
            "GREATEST" => values.max(),
            "SUM" => values.try_fold(0, u64::checked_add),
            _ => return Err(format!("the function {name} is not known")),
        }
        .ok_or_else(|| "it grows too large".to_owned())
    }

    fn digits(&mut self) -> Option<&'f str> {
        self.word(|c| c.is_ascii_digit())
    }

    fn word(&mut self, of: impl Fn(char) -> bool) -> Option<&'f str> {
        let rest = self.rest.trim_start();
        let end = rest.find(|c: char| !of(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() {
            return None;
        }
        self.rest = after.trim_start();
        Some(word)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with(memory: u64) -> Variables {
        Variables { memory: Some(memory), storage: Some(100 << 30) }
    }

    #[test]
    fn formulas_come_to_what_aws_documents() {
        let gib = |number: u64| number << 30;
        for (formula, memory, expected) in [
            ("200", 1, 200),
            ("LEAST({DBInstanceClassMemory/9531392},5000)", gib(8), 901),
            ("LEAST({DBInstanceClassMemory/9531392},5000)", gib(512), 5000),
            ("GREATEST({DBInstanceClassMemory/64371566592},3)", gib(8), 3),
            ("GREATEST({DBInstanceClassMemory*1024/63963136},65536)", gib(8), 137_518),
            ("{DBInstanceClassMemory/12582880}", gib(4), 341),
            ("SUM({DBInstanceClassMemory/1073741824},{AllocatedStorage/1073741824},7)", gib(4), 111),
            (" least ( { DBInstanceClassMemory / 9531392 } , greatest(10, 20) ) ", gib(8), 20),
            ("{DBInstanceClassMemory}", 12, 12),
            // What is behind the point is cut off at every step, from left to right.
            ("{7/2*2}", 1, 6),
        ] {
            assert_eq!(number(formula, with(memory)), Ok(expected), "{formula}");
        }
    }

    #[test]
    fn what_is_not_understood_is_an_error_and_never_a_number() {
        for (formula, expected) in [
            ("", "it ends in the middle"),
            ("LEAST({DBInstanceClassMemory/9531392},5000", "there is no `)` at the end"),
            ("LEAST()", "\")\" is not understood"),
            ("{log(DBInstanceClassMemory/8187281418)*1000}", "the function log is not known"),
            ("IF(TrueIfReplica,1,2)", "the value of TrueIfReplica is not known"),
            ("{dbinstanceclassmemory/2}", "the value of dbinstanceclassmemory is not known"),
            ("{5000/DBInstanceClassMemory}", "it divides by something other than a number"),
            ("{DBInstanceClassMemory/0}", "it divides by 0"),
            ("{DBInstanceClassMemory-5}", "there is \"-5}\" where `}` was expected"),
            ("200 or so", "\"or so\" is not understood"),
            ("1.5", "\".5\" is not understood"),
            ("-1", "\"-1\" is not understood"),
            ("{DBInstanceClassMemory*99999999999999999}", "it grows too large"),
            ("99999999999999999999999", "a number is too large"),
        ] {
            assert_eq!(number(formula, with(1 << 34)).unwrap_err(), expected, "{formula}");
        }
        assert_eq!(number(&"{".repeat(5000), with(1)).unwrap_err(), "it is nested too deep");
        let nobody_knows = Variables { memory: None, storage: None };
        let unknown = "the value of DBInstanceClassMemory is not known".to_owned();
        assert_eq!(number("LEAST({DBInstanceClassMemory/9531392},5000)", nobody_knows), Err(unknown));
    }

    fn formulas() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            (1u32..9999).prop_map(|number| number.to_string()),
            (1u32..9999).prop_map(|number| format!("{{DBInstanceClassMemory/{number}}}")),
        ];
        leaf.prop_recursive(4, 24, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..4)
                    .prop_map(|all| format!("LEAST({})", all.join(","))),
                prop::collection::vec(inner.clone(), 1..4)
                    .prop_map(|all| format!("GREATEST({})", all.join(","))),
                prop::collection::vec(inner, 1..4).prop_map(|all| format!("SUM({})", all.join(","))),
            ]
        })
    }

    proptest! {
        #[test]
        fn less_memory_never_makes_more(formula in formulas(), less in 0u64..1 << 40, more in 0u64..1 << 40) {
            let (less, more) = (less.min(more), less.max(more));
            let (low, high) = (number(&formula, with(less)), number(&formula, with(more)));
            prop_assert!(low.unwrap() <= high.unwrap());
        }

        #[test]
        fn no_text_is_too_much_for_it(text in "[A-Za-z0-9{}()*/, .]{0,60}") {
            let _ = number(&text, with(1 << 34));
        }
    }
}
