//! The one binary. `ringmill serve` starts a broker; the rest looks at settings and files.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use ringmill::cli::{self, Command, Serve};
use ringmill::metrics::log;
use ringmill::start::Server;

fn main() -> ExitCode {
    end_at_panic();
    match cli::parse() {
        Command::Serve(serve) => run(&serve),
        Command::Config(command) => cli::run_config(&command),
        Command::Apis => cli::run_apis(),
        Command::Storage(command) => cli::run_storage(&command),
    }
}

/// A panic ends the process, where panics unwind as well: shards that go on without one could acknowledge what it lost.
fn end_at_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
}

/// Runs a broker until SIGTERM or SIGINT.
fn run(serve: &Serve) -> ExitCode {
    let (settings, warnings) = match serve.resolve() {
        Ok(resolved) => resolved,
        Err(problems) => {
            cli::report(&problems);
            return ExitCode::from(2);
        }
    };
    cli::report(&warnings);
    let signals = match shards::StopSignals::hold() {
        Ok(signals) => signals,
        Err(error) => return cli::fail(error),
    };
    let server = match Server::start(settings) {
        Ok(server) => server,
        Err(why) => return cli::fail(why),
    };
    match signals.wait() {
        Ok(signal) => log::info(format_args!("{signal}: stopping")),
        Err(error) => log::error(format_args!("cannot wait for signals: {error}: stopping")),
    }
    server.stop();
    match server.join() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => cli::fail(why),
    }
}
