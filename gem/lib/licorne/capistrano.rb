# frozen_string_literal: true

require "capistrano/plugin"
require "json"

module Licorne
  # Capistrano's tasks: `require "licorne/capistrano"` in the Capfile. The settings, and what each is for, are in
  # docs/deploys.md.
  #
  # A machine is told of a release only when the machine before it serves it. Where one refuses it, the deploy ends, and
  # `current` leads back to the release before on each machine that does not serve the new one.
  class CapistranoPlugin < ::Capistrano::Plugin
    # Where Bundler and the version managers of Ruby are told which programs are theirs to start.
    PROGRAM_LISTS = %i[bundle_bins rbenv_map_bins rvm_map_bins chruby_map_bins].freeze

    def initialize
      super
      @before = {}
      @failures = []
      @proved = false
    end

    def set_defaults
      set_if_empty :licorne_roles, :app
      set_if_empty :licorne_command, :licorne
      set_if_empty :licorne_environment, -> { fetch(:rack_env) || fetch(:rails_env) || fetch(:stage).to_s }
      set_if_empty :licorne_reload_on_deploy, true
      PROGRAM_LISTS.each { |list| append list, "licorne" }
    end

    def register_hooks
      before "deploy:symlink:release", "licorne:remember"
      after "deploy:publishing", "licorne:deployed"
    end

    def define_tasks
      eval_rakefile File.expand_path("capistrano.rake", __dir__)
    end

    # The machines that serve. With `--wait` a command may last: no more than one is asked at a time.
    def one_by_one(&block)
      on(roles(fetch(:licorne_roles)), in: :sequence, wait: 0, &block)
    end

    # Runs a command of the program on the master of `current`, or on the one that the settings name.
    def run(*words)
      backend.within(current_path) { backend.execute(*command, *words, *master) }
    end

    def status
      backend.within(current_path) { backend.capture(*command, "status", *master) }
    end

    # In a deploy this is the release that is being made, otherwise the current one.
    def check
      backend.within(release_path) { backend.execute(*command, "check", *server_options) }
    end

    def start
      return if backend.within(current_path) { backend.test(*command, "status", *master) }

      backend.within(current_path) { backend.execute(*command, *server_options, "-D") }
    end

    def reload
      run("reload", "--wait", *probe_options, *canary_options)
      @proved = true
    end

    # Goes back to the mold that is kept, and has `current` say so. Each machine goes back, whether another one can or
    # not.
    def rollback
      run("rollback", "--wait")
      release = serving
      link(releases_path.join(release)) if release && backend.test(:test, "-d", releases_path.join(release))
    rescue StandardError => e
      @failures << "#{backend.host}: #{e.message}"
    end

    def fail_if_one_did
      raise @failures.join("\n") unless @failures.empty?
    end

    # Notes where `current` leads, before it is made to lead elsewhere.
    def remember
      path = backend.capture(:readlink, current_path, "|| true")
      @before[backend.host] = path unless path.empty?
    end

    # Reloads, unless this is the first release of this machine: there is no server yet.
    def deployed
      return reload if @before.key?(backend.host)

      backend.warn("the first release: start Licorne by its service manager or `cap #{fetch(:stage)} licorne:start`")
    end

    # Undoes the publishing on this machine, unless the release serves here.
    def unpublish
      before = @before[backend.host]
      return if before.nil? || serving == release_path.basename.to_s

      link(before)
      backend.warn("#{current_path} leads to #{before} again")
    end

    private

    def command
      Array(fetch(:licorne_command))
    end

    def master
      { "--control" => :licorne_control, "--pid-file" => :licorne_pid }.each do |option, setting|
        path = fetch(setting)
        return [option, path] if path
      end
      []
    end

    # The name of the release that serves, if one does.
    def serving
      words = [*command, "status", "--json", *master, { raise_on_non_zero_exit: false }]
      text = backend.within(current_path) { backend.capture(*words) }
      directory = JSON.parse(text).dig("release", "directory") unless text.empty?
      directory && File.basename(directory)
    end

    def probe_options
      Array(fetch(:licorne_probe)).flat_map { |path| ["--probe", path] }
    end

    # A canary is for the first machine: the others take what has proved itself there.
    def canary_options
      asked = { "--canary" => fetch(:licorne_canary), "--watch" => fetch(:licorne_watch) }.compact
      return asked.flat_map { |option, value| [option, value.to_s] } if asked.empty? || !@proved

      ["--canary", "0"]
    end

    def server_options
      known = %w[config/licorne.rb config/unicorn.rb]
      file = fetch(:licorne_config) || known.find { |path| backend.test(:test, "-f", path) } || known.first
      ["-c", file, "-E", fetch(:licorne_environment)]
    end

    # In one step: there is no moment without a `current`.
    def link(release)
      new = releases_path.join(current_path.basename)
      backend.execute(:ln, "-sfn", release, new)
      backend.execute(:mv, new, current_path.parent)
    end
  end
end

install_plugin Licorne::CapistranoPlugin
