//! Where there is no Linux there is no namespace sandbox to soak.

pub(crate) fn main() -> std::process::ExitCode {
    println!("test result: ok. 0 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out");
    std::process::ExitCode::SUCCESS
}
