//! Runs the arguments in the namespace sandbox: `cargo run --example namespace -- ls /`.

use std::io::Write;

use kernel::sandbox::{Command, NamespaceIsolator, SandboxConfig};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args_os().skip(1);
    let mut command = Command::new(words.next().ok_or("name a program")?);
    command.args(words);
    let isolator = NamespaceIsolator::new(SandboxConfig::default());
    let outcome = isolator.run(command)?;
    std::io::stdout().write_all(&outcome.stdout)?;
    std::io::stderr().write_all(&outcome.stderr)?;
    writeln!(std::io::stderr(), "{} in {:?}", outcome.exit, outcome.execution_time())?;
    Ok(())
}
