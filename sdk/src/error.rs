//! The kernel's errors as the exceptions of `neuroflow/sandbox/errors.py`.

use kernel::sandbox::Error;
use pyo3::PyErr;

/// The exception classes, which live in Python so that type checkers see them.
mod exceptions {
    use pyo3::import_exception;

    import_exception!(neuroflow.sandbox.errors, ConfigError);
    import_exception!(neuroflow.sandbox.errors, UnsupportedError);
    import_exception!(neuroflow.sandbox.errors, ProgramNotFoundError);
    import_exception!(neuroflow.sandbox.errors, ProgramNotExecutableError);
    import_exception!(neuroflow.sandbox.errors, SetupError);
    import_exception!(neuroflow.sandbox.errors, InternalError);
}

/// The exception that stands for `error`. Not `From`: neither type is ours.
pub(crate) fn raised(error: Error) -> PyErr {
    let message = error.to_string();
    match error {
        Error::Config { problems } => exceptions::ConfigError::new_err((problems,)),
        Error::Unsupported { feature, reason, fix } => {
            exceptions::UnsupportedError::new_err((feature, reason, fix))
        }
        Error::NotFound { program } => {
            exceptions::ProgramNotFoundError::new_err((message, program))
        }
        Error::NotExecutable { program, source } => exceptions::ProgramNotExecutableError::new_err(
            (message, program, source.raw_os_error()),
        ),
        Error::Setup { source, .. } => {
            exceptions::SetupError::new_err((message, source.raw_os_error()))
        }
        // `Error` may grow; a kind this module does not know is for us to mend.
        _ => exceptions::InternalError::new_err((message,)),
    }
}

/// The exception for input that is malformed, with the sentence that says so.
#[expect(clippy::needless_pass_by_value, reason = "the shape that `map_err` takes")]
pub(crate) fn malformed<E: ToString>(problem: E) -> PyErr {
    pyo3::exceptions::PyValueError::new_err(problem.to_string())
}
