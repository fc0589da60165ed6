//! The one spot where serving tells the monitor what happened.
