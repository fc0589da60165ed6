//! SHAP values against the libraries' own, against the definition, and what is refused.

mod generate;
mod golden;
mod load;
mod oracle;
mod property;
mod refusals;
