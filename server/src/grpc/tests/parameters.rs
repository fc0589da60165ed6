//! The parameters of a whole request.

use std::time::Duration;

use super::*;

#[test]
fn a_timeout_is_a_whole_number_of_microseconds() {
    let timeout = |choice| {
        let parameters = [("timeout".to_owned(), parameter(choice))].into();
        read(&ModelInferRequest { parameters, ..ModelInferRequest::default() }).map(|request| request.timeout)
    };
    assert_eq!(timeout(ParameterChoice::Int64Param(1500)), Ok(Some(Duration::from_micros(1500))));
    assert_eq!(timeout(ParameterChoice::Uint64Param(7)), Ok(Some(Duration::from_micros(7))));
    assert_eq!(timeout(ParameterChoice::Int64Param(0)), Ok(None));
    for (choice, got) in [
        (ParameterChoice::Int64Param(-5), "-5"),
        (ParameterChoice::DoubleParam(1.5), "1.5"),
        (ParameterChoice::BoolParam(true), "true"),
        (ParameterChoice::StringParam("5".to_owned()), "'5'"),
    ] {
        let expected = format!("expected a whole number of microseconds as 'timeout', got {got}");
        assert_eq!(timeout(choice), Err(expected));
    }
}

#[test]
fn a_priority_is_a_whole_number() {
    let priority = |choice| {
        let parameters = [("priority".to_owned(), parameter(choice))].into();
        read(&ModelInferRequest { parameters, ..ModelInferRequest::default() }).map(|request| request.priority)
    };
    assert_eq!(priority(ParameterChoice::Uint64Param(2)), Ok(2));
    assert_eq!(priority(ParameterChoice::Int64Param(3)), Ok(3));
    assert_eq!(priority(ParameterChoice::Uint64Param(u64::MAX)), Ok(u32::MAX));
    for (choice, got) in
        [(ParameterChoice::Int64Param(-5), "-5"), (ParameterChoice::StringParam("5".to_owned()), "'5'")]
    {
        assert_eq!(priority(choice), Err(format!("expected a whole number as 'priority', got {got}")));
    }
}
