//! What a column of text holds, judged by all of its values.

use contract::ColumnKind;

use super::{
    cell::{Cell, parse_boolean, parse_number, present},
    date,
};

/// What was seen of a column so far: each flag stays while every present value can be read that way.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a possibility of its own, ruled out on its own")]
pub(crate) struct Guess {
    seen: bool,
    number: bool,
    boolean: bool,
    month_first: bool,
    day_first: bool,
}

impl Guess {
    /// Of text without a declared type, as in CSV.
    pub(crate) const fn of_text() -> Self {
        Self { seen: false, number: true, boolean: true, month_first: true, day_first: true }
    }

    /// Of text that was declared to be text, as in Parquet: a category or a date, however it is spelled.
    pub(crate) const fn of_strings() -> Self {
        Self { seen: false, number: false, boolean: false, month_first: true, day_first: true }
    }

    /// Looks at one more cell.
    pub(crate) fn observe(&mut self, cell: Cell<'_>) {
        let Cell::Text(text) = cell else { return };
        if !(self.number || self.boolean || self.month_first || self.day_first || !self.seen) {
            return;
        }
        let Some(text) = present(text) else { return };
        self.seen = true;
        self.number = self.number && parse_number(text).is_some();
        self.boolean = self.boolean && parse_boolean(text).is_some();
        self.month_first = self.month_first && date::parse(text, false).is_some();
        self.day_first = self.day_first && date::parse(text, true).is_some();
    }

    /// The kind, and whether dates like 1/5/2026 name the day first. A column without any value is taken for numbers.
    /// Where both orders fit every value, the month is first.
    pub(crate) const fn finish(&self) -> (ColumnKind, bool) {
        if self.number || !self.seen {
            (ColumnKind::Numeric, false)
        } else if self.boolean {
            (ColumnKind::Boolean, false)
        } else if self.month_first {
            (ColumnKind::Date, false)
        } else if self.day_first {
            (ColumnKind::Date, true)
        } else {
            (ColumnKind::Categorical, false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn infer(values: &[&str]) -> (ColumnKind, bool) {
        let mut guess = Guess::of_text();
        for value in values {
            guess.observe(Cell::Text(value.as_bytes()));
        }
        guess.finish()
    }

    #[test]
    fn every_value_counts_and_missing_marks_do_not() {
        assert_eq!(infer(&["1", "NA", "2.5", ""]).0, ColumnKind::Numeric);
        assert_eq!(infer(&["1", "2", "late surprise"]).0, ColumnKind::Categorical);
        assert_eq!(infer(&["yes", "?", "NO"]).0, ColumnKind::Boolean);
        assert_eq!(infer(&["true", "1"]).0, ColumnKind::Categorical);
        assert_eq!(infer(&["0", "1", "1"]).0, ColumnKind::Numeric);
        assert_eq!(infer(&["", "NA"]).0, ColumnKind::Numeric);
        assert_eq!(infer(&["2026-05-01", "", "2026-05-01T10:00Z"]), (ColumnKind::Date, false));
        assert_eq!(infer(&["2026-05-01", "soon"]).0, ColumnKind::Categorical);
    }

    #[test]
    fn the_column_tells_which_of_day_and_month_is_first() {
        assert_eq!(infer(&["1/2/2011", "1/13/2011"]), (ColumnKind::Date, false));
        assert_eq!(infer(&["1/2/2011", "13/1/2011"]), (ColumnKind::Date, true));
        assert_eq!(infer(&["1/2/2011"]), (ColumnKind::Date, false));
        assert_eq!(infer(&["13/1/2011", "1/13/2011"]).0, ColumnKind::Categorical);
    }
}
