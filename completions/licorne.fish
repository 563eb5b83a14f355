# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_licorne_global_optspecs
    string join \n e/eval= d/debug w/warn I/include= r/require= o/host= p/port= l/listen= c/config-file= D/daemonize E/env= N/no-default-middleware s/server= control= script= ruby= h/help v/version
end

function __fish_licorne_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_licorne_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_licorne_using_subcommand
    set -l cmd (__fish_licorne_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c licorne -n "__fish_licorne_needs_command" -s e -l eval -d 'evaluate a LINE of code' -r -f
complete -c licorne -n "__fish_licorne_needs_command" -s I -l include -d 'specify $LOAD_PATH (may be used more than once)' -r -F
complete -c licorne -n "__fish_licorne_needs_command" -s r -l require -d 'require the library, before executing your script' -r -f
complete -c licorne -n "__fish_licorne_needs_command" -s o -l host -d 'listen on HOST (default: 0.0.0.0)' -r -f -a "(__fish_print_hostnames)"
complete -c licorne -n "__fish_licorne_needs_command" -s p -l port -d 'use PORT (default: 8080)' -r -f
complete -c licorne -n "__fish_licorne_needs_command" -s l -l listen -d 'listen on HOST:PORT or PATH, may be repeated' -r -f
complete -c licorne -n "__fish_licorne_needs_command" -s c -l config-file -d 'the configuration file' -r -F
complete -c licorne -n "__fish_licorne_needs_command" -s E -l env -d 'use RACK_ENV for defaults (default: development)' -r -f
complete -c licorne -n "__fish_licorne_needs_command" -s s -l server -d 'this flag only exists for compatibility' -r -f
complete -c licorne -n "__fish_licorne_needs_command" -l control -d 'where to put the control socket' -r -F
complete -c licorne -n "__fish_licorne_needs_command" -l script -d 'a program that calls Licorne.run(app)' -r -F
complete -c licorne -n "__fish_licorne_needs_command" -l ruby -d 'the Ruby to run (default: ruby in PATH)' -r -f -a "(__fish_complete_command)"
complete -c licorne -n "__fish_licorne_needs_command" -s d -l debug -d 'set debugging flags (set $DEBUG to true)'
complete -c licorne -n "__fish_licorne_needs_command" -s w -l warn -d 'turn warnings on for your script'
complete -c licorne -n "__fish_licorne_needs_command" -s D -l daemonize -d 'run daemonized in the background'
complete -c licorne -n "__fish_licorne_needs_command" -s N -l no-default-middleware -d 'do not load middleware implied by RACK_ENV'
complete -c licorne -n "__fish_licorne_needs_command" -s h -l help -d 'Show this message'
complete -c licorne -n "__fish_licorne_needs_command" -s v -l version -d 'Show version'
complete -c licorne -n "__fish_licorne_needs_command" -f -a "reload" -d 'load new code and settings, worker by worker (--wait for the result)'
complete -c licorne -n "__fish_licorne_needs_command" -f -a "rollback" -d 'go back to the code before, which `keep_previous` has kept'
complete -c licorne -n "__fish_licorne_needs_command" -f -a "upgrade" -d 'bring in a new program: another Licorne, Ruby or environment'
complete -c licorne -n "__fish_licorne_needs_command" -f -a "stop" -d 'finish begun requests, then exit (--quick: do not finish them)'
complete -c licorne -n "__fish_licorne_needs_command" -f -a "status" -d 'show what master and workers do (--json, --watch)'
complete -c licorne -n "__fish_licorne_needs_command" -f -a "top" -d 'show the same live, as top(1) does: sort, deaths, backtraces'
complete -c licorne -n "__fish_licorne_needs_command" -f -a "backtrace" -d 'show where the threads of workers are (--json)'
complete -c licorne -n "__fish_licorne_needs_command" -f -a "deaths" -d 'show which processes died, of what, and in which request (--json)'
complete -c licorne -n "__fish_licorne_needs_command" -f -a "config" -d 'show the configuration that holds, with its places (--all, --json)'
complete -c licorne -n "__fish_licorne_needs_command" -f -a "check" -d 'tell whether a server would start so, and start none (--json)'
complete -c licorne -n "__fish_licorne_needs_command" -f -a "switch" -d 'change to the other of two masters behind the same systemd sockets'
complete -c licorne -n "__fish_licorne_needs_command" -f -a "admin" -d 'answer health checks and monitors for a master'
complete -c licorne -n "__fish_licorne_needs_command" -f -a "init" -d 'print the files for a supervisor, proxy or deploy tool'
complete -c licorne -n "__fish_licorne_needs_command" -f -a "herd" -d 'be the stable parent of a Unicorn or Gunicorn'
complete -c licorne -n "__fish_licorne_needs_command" -f -a "help" -d 'show this, or the help of a command'
complete -c licorne -n "__fish_licorne_using_subcommand reload" -l probe -d 'have each new worker answer this before it serves, such as /up (again for more)' -r
complete -c licorne -n "__fish_licorne_using_subcommand reload" -l canary -d 'try the new code on so many workers first; 0 for none' -r
complete -c licorne -n "__fish_licorne_using_subcommand reload" -l watch -d 'watch these for so many seconds' -r
complete -c licorne -n "__fish_licorne_using_subcommand reload" -l control -d 'the master\'s control socket' -r -F
complete -c licorne -n "__fish_licorne_using_subcommand reload" -s P -l pid-file -d 'the master\'s pid file' -r -F
complete -c licorne -n "__fish_licorne_using_subcommand reload" -l pid -d 'the master\'s process id' -r
complete -c licorne -n "__fish_licorne_using_subcommand reload" -s w -l wait -d 'wait until the new code serves; if it does not, fail and say why'
complete -c licorne -n "__fish_licorne_using_subcommand reload" -l promote -d 'end the watch: the new code has shown enough'
complete -c licorne -n "__fish_licorne_using_subcommand reload" -l abort -d 'undo what a reload has done so far'
complete -c licorne -n "__fish_licorne_using_subcommand reload" -s v -l verbose -d 'say which sockets were ignored, and why'
complete -c licorne -n "__fish_licorne_using_subcommand reload" -s h -l help -d 'show this message'
complete -c licorne -n "__fish_licorne_using_subcommand rollback" -l control -d 'the master\'s control socket' -r -F
complete -c licorne -n "__fish_licorne_using_subcommand rollback" -s P -l pid-file -d 'the master\'s pid file' -r -F
complete -c licorne -n "__fish_licorne_using_subcommand rollback" -l pid -d 'the master\'s process id' -r
complete -c licorne -n "__fish_licorne_using_subcommand rollback" -s w -l wait -d 'wait until the code before serves; if it does not, fail and say why'
complete -c licorne -n "__fish_licorne_using_subcommand rollback" -s v -l verbose -d 'say which sockets were ignored, and why'
complete -c licorne -n "__fish_licorne_using_subcommand rollback" -s h -l help -d 'show this message'
complete -c licorne -n "__fish_licorne_using_subcommand upgrade" -l control -d 'the master\'s control socket' -r -F
complete -c licorne -n "__fish_licorne_using_subcommand upgrade" -s P -l pid-file -d 'the master\'s pid file' -r -F
complete -c licorne -n "__fish_licorne_using_subcommand upgrade" -l pid -d 'the master\'s process id' -r
complete -c licorne -n "__fish_licorne_using_subcommand upgrade" -s w -l wait -d 'wait until the new code serves; if it does not, fail and say why'
complete -c licorne -n "__fish_licorne_using_subcommand upgrade" -l in-place -d 'execute the new program in the place of the old one'
complete -c licorne -n "__fish_licorne_using_subcommand upgrade" -l two-masters -d 'start the new program beside the old one'
complete -c licorne -n "__fish_licorne_using_subcommand upgrade" -s v -l verbose -d 'say which sockets were ignored, and why'
complete -c licorne -n "__fish_licorne_using_subcommand upgrade" -s h -l help -d 'show this message'
complete -c licorne -n "__fish_licorne_using_subcommand stop" -l control -d 'the master\'s control socket' -r -F
complete -c licorne -n "__fish_licorne_using_subcommand stop" -s P -l pid-file -d 'the master\'s pid file' -r -F
complete -c licorne -n "__fish_licorne_using_subcommand stop" -l pid -d 'the master\'s process id' -r
complete -c licorne -n "__fish_licorne_using_subcommand stop" -s q -l quick -d 'do not wait for requests that have begun'
complete -c licorne -n "__fish_licorne_using_subcommand stop" -s v -l verbose -d 'say which sockets were ignored, and why'
complete -c licorne -n "__fish_licorne_using_subcommand stop" -s h -l help -d 'show this message'
complete -c licorne -n "__fish_licorne_using_subcommand status" -l watch -d 'print it again every SECONDS (2 without them), until the master ends; with --json one line each time' -r
complete -c licorne -n "__fish_licorne_using_subcommand status" -l control -d 'the master\'s control socket' -r -F
complete -c licorne -n "__fish_licorne_using_subcommand status" -s P -l pid-file -d 'the master\'s pid file' -r -F
complete -c licorne -n "__fish_licorne_using_subcommand status" -l pid -d 'the master\'s process id' -r
complete -c licorne -n "__fish_licorne_using_subcommand status" -s j -l json -d 'print JSON'
complete -c licorne -n "__fish_licorne_using_subcommand status" -s v -l verbose -d 'say which sockets were ignored, and why'
complete -c licorne -n "__fish_licorne_using_subcommand status" -s h -l help -d 'show this message'
complete -c licorne -n "__fish_licorne_using_subcommand top" -l control -d 'the master\'s control socket' -r -F
complete -c licorne -n "__fish_licorne_using_subcommand top" -s P -l pid-file -d 'the master\'s pid file' -r -F
complete -c licorne -n "__fish_licorne_using_subcommand top" -l pid -d 'the master\'s process id' -r
complete -c licorne -n "__fish_licorne_using_subcommand top" -s v -l verbose -d 'say which sockets were ignored, and why'
complete -c licorne -n "__fish_licorne_using_subcommand top" -s h -l help -d 'show this message'
complete -c licorne -n "__fish_licorne_using_subcommand backtrace" -l control -d 'the master\'s control socket' -r -F
complete -c licorne -n "__fish_licorne_using_subcommand backtrace" -s P -l pid-file -d 'the master\'s pid file' -r -F
complete -c licorne -n "__fish_licorne_using_subcommand backtrace" -l pid -d 'the master\'s process id' -r
complete -c licorne -n "__fish_licorne_using_subcommand backtrace" -s j -l json -d 'print JSON'
complete -c licorne -n "__fish_licorne_using_subcommand backtrace" -s v -l verbose -d 'say which sockets were ignored, and why'
complete -c licorne -n "__fish_licorne_using_subcommand backtrace" -s h -l help -d 'show this message'
complete -c licorne -n "__fish_licorne_using_subcommand deaths" -s n -l number -d 'how many to show at most' -r
complete -c licorne -n "__fish_licorne_using_subcommand deaths" -l control -d 'the master\'s control socket' -r -F
complete -c licorne -n "__fish_licorne_using_subcommand deaths" -s P -l pid-file -d 'the master\'s pid file' -r -F
complete -c licorne -n "__fish_licorne_using_subcommand deaths" -l pid -d 'the master\'s process id' -r
complete -c licorne -n "__fish_licorne_using_subcommand deaths" -s j -l json -d 'print JSON'
complete -c licorne -n "__fish_licorne_using_subcommand deaths" -s v -l verbose -d 'say which sockets were ignored, and why'
complete -c licorne -n "__fish_licorne_using_subcommand deaths" -s h -l help -d 'show this message'
complete -c licorne -n "__fish_licorne_using_subcommand config" -l control -d 'the master\'s control socket' -r -F
complete -c licorne -n "__fish_licorne_using_subcommand config" -s P -l pid-file -d 'the master\'s pid file' -r -F
complete -c licorne -n "__fish_licorne_using_subcommand config" -l pid -d 'the master\'s process id' -r
complete -c licorne -n "__fish_licorne_using_subcommand config" -s a -l all -d 'show all directives'
complete -c licorne -n "__fish_licorne_using_subcommand config" -s j -l json -d 'print JSON: all directives, or those that are named'
complete -c licorne -n "__fish_licorne_using_subcommand config" -s v -l verbose -d 'say which sockets were ignored, and why'
complete -c licorne -n "__fish_licorne_using_subcommand config" -s h -l help -d 'show this message'
complete -c licorne -n "__fish_licorne_using_subcommand check" -l json -d 'print JSON'
complete -c licorne -n "__fish_licorne_using_subcommand check" -s h -l help -d 'show this message'
complete -c licorne -n "__fish_licorne_using_subcommand switch" -s i -l instances -d 'the two instances' -r
complete -c licorne -n "__fish_licorne_using_subcommand switch" -s h -l help -d 'show this message'
complete -c licorne -n "__fish_licorne_using_subcommand admin" -s l -l listen -d 'the address to answer at' -r
complete -c licorne -n "__fish_licorne_using_subcommand admin" -l host -d 'a host name that clients may use (repeatable)' -r
complete -c licorne -n "__fish_licorne_using_subcommand admin" -l control -d 'the master\'s control socket' -r -F
complete -c licorne -n "__fish_licorne_using_subcommand admin" -s P -l pid-file -d 'the master\'s pid file' -r -F
complete -c licorne -n "__fish_licorne_using_subcommand admin" -l pid -d 'the master\'s process id' -r
complete -c licorne -n "__fish_licorne_using_subcommand admin" -l show-queries -d 'show the query strings of requests'
complete -c licorne -n "__fish_licorne_using_subcommand admin" -s v -l verbose -d 'say which sockets were ignored, and why'
complete -c licorne -n "__fish_licorne_using_subcommand admin" -s h -l help -d 'show this message'
complete -c licorne -n "__fish_licorne_using_subcommand init" -l from -d 'convert a puma.rb, unicorn.rb, pitchfork.rb, Procfile, supervisord.conf' -r -F
complete -c licorne -n "__fish_licorne_using_subcommand init" -s o -l output -d 'write it there, where nothing is yet (default: standard output)' -r -F
complete -c licorne -n "__fish_licorne_using_subcommand init" -l name -d 'the name of the service (default: licorne)' -r
complete -c licorne -n "__fish_licorne_using_subcommand init" -l directory -d 'the application\'s directory (default: here)' -r -f -a "(__fish_complete_directories)"
complete -c licorne -n "__fish_licorne_using_subcommand init" -l user -d 'the user that it runs as (default: you)' -r -f -a "(__fish_complete_users)"
complete -c licorne -n "__fish_licorne_using_subcommand init" -s c -l config-file -d 'its configuration file' -r -F
complete -c licorne -n "__fish_licorne_using_subcommand init" -l socket -d 'where it listens (default: as the file says)' -r -F
complete -c licorne -n "__fish_licorne_using_subcommand init" -l program -d 'the licorne to run (default: this one)' -r -F
complete -c licorne -n "__fish_licorne_using_subcommand init" -l force -d 'overwrite what is there'
complete -c licorne -n "__fish_licorne_using_subcommand init" -s h -l help -d 'show this message'
complete -c licorne -n "__fish_licorne_using_subcommand herd; and not __fish_seen_subcommand_from reload" -s u -l unicorn -d 'unicorn, unicorn_rails, gunicorn, gunicorn_django or licorne' -r -f
complete -c licorne -n "__fish_licorne_using_subcommand herd; and not __fish_seen_subcommand_from reload" -s b -l unicorn-bin -d 'a program that takes unicorn\'s options' -r -F
complete -c licorne -n "__fish_licorne_using_subcommand herd; and not __fish_seen_subcommand_from reload" -s g -l gunicorn-bin -d 'a program that takes gunicorn\'s options' -r -F
complete -c licorne -n "__fish_licorne_using_subcommand herd; and not __fish_seen_subcommand_from reload" -s p -l pidfile -d 'the server\'s pid file (default: TYPE.pid)' -r -F
complete -c licorne -n "__fish_licorne_using_subcommand herd; and not __fish_seen_subcommand_from reload" -s t -l timeout -d 'how long a boot may take (default: 30)' -r -f
complete -c licorne -n "__fish_licorne_using_subcommand herd; and not __fish_seen_subcommand_from reload" -s o -l overlap -d 'how long both may serve (default: 30)' -r -f
complete -c licorne -n "__fish_licorne_using_subcommand herd; and not __fish_seen_subcommand_from reload" -l control -d 'where to put the control socket' -r -F
complete -c licorne -n "__fish_licorne_using_subcommand herd; and not __fish_seen_subcommand_from reload" -l write-pid -d 'write the herder\'s own process id there' -r -F
complete -c licorne -n "__fish_licorne_using_subcommand herd; and not __fish_seen_subcommand_from reload" -l foreground -d 'keep the server and its output here'
complete -c licorne -n "__fish_licorne_using_subcommand herd; and not __fish_seen_subcommand_from reload" -l daemonize -d 'give the server -D'
complete -c licorne -n "__fish_licorne_using_subcommand herd; and not __fish_seen_subcommand_from reload" -s v -l version -d 'show the version'
complete -c licorne -n "__fish_licorne_using_subcommand herd; and not __fish_seen_subcommand_from reload" -s h -l help -d 'show this message'
complete -c licorne -n "__fish_licorne_using_subcommand herd; and not __fish_seen_subcommand_from reload" -f -a "reload" -d 'replace the running server by a new one, as SIGHUP does'
complete -c licorne -n "__fish_licorne_using_subcommand herd; and __fish_seen_subcommand_from reload" -l pid -d 'the herder\'s process id' -r
complete -c licorne -n "__fish_licorne_using_subcommand herd; and __fish_seen_subcommand_from reload" -l pid-file -d 'a file with that process id (see --write-pid)' -r -F
complete -c licorne -n "__fish_licorne_using_subcommand herd; and __fish_seen_subcommand_from reload" -l control -d 'the herder\'s control socket' -r -F
complete -c licorne -n "__fish_licorne_using_subcommand herd; and __fish_seen_subcommand_from reload" -s w -l wait -d 'wait until the new server serves; if it does not, fail and say why'
complete -c licorne -n "__fish_licorne_using_subcommand herd; and __fish_seen_subcommand_from reload" -s h -l help -d 'show this message'
complete -c licorne -n "__fish_licorne_using_subcommand help" -s h -l help -d 'show this message'
