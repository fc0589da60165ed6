//! Files for other tools, one module a format. What a format cannot say exactly is refused by name.

pub mod treelite;
pub mod xgboost;
