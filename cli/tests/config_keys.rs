//! The table of keys says which flag sets a key; the flag has to be there.

use clap::CommandFactory;
use kernel::sandbox::config::keys::SANDBOX;
use neuroflow_cli::args::Cli;

#[test]
fn every_flag_of_the_table_is_an_option_of_run() {
    let cli = Cli::command();
    let run = cli.find_subcommand("run").unwrap();
    let flags: Vec<_> =
        run.get_arguments().filter_map(|arg| Some(format!("--{}", arg.get_long()?))).collect();

    for key in SANDBOX {
        let Some(flag) = key.flag else { continue };
        assert!(flags.iter().any(|known| known == flag), "`{}` has no `{flag}`", key.name);
    }
}
