# frozen_string_literal: true

# Capistrano tasks for Licorne: copy it to lib/capistrano/tasks/, and change what is marked.
#
# With `pid "/srv/app/current/tmp/pids/licorne.pid"` in the configuration. The working directory is `current`: a reload
# resolves it anew, and so finds the release that was just published.
namespace :licorne do
  # Change these, or set them in config/deploy.rb.
  set :licorne_config, -> { "config/unicorn.rb" }
  set :licorne_pid, -> { "/srv/app/current/tmp/pids/licorne.pid" }
  set :licorne_command, -> { %i[bundle exec licorne] }

  def licorne(*words)
    execute(*fetch(:licorne_command), *words)
  end

  def licorne_runs?
    test("[ -e #{fetch(:licorne_pid)} ] && kill -0 $(cat #{fetch(:licorne_pid)})")
  end

  desc "Start Licorne, if it does not run"
  task :start do
    on roles(:app) do
      within(current_path) do
        licorne("-c", fetch(:licorne_config), "-E", fetch(:rack_env, "production"), "-D") unless licorne_runs?
      end
    end
  end

  desc "New code and configuration: fails, and changes nothing, when the new code does not serve"
  task :reload do
    # One machine after the other: a release that does not boot stops the deploy at the first.
    on roles(:app), in: :sequence do
      within(current_path) { licorne("reload", "--wait", "--pid-file", fetch(:licorne_pid)) }
    end
  end

  desc "A new version of Licorne itself, and new code with it"
  task :upgrade do
    on roles(:app), in: :sequence do
      within(current_path) { licorne("upgrade", "--wait", "--pid-file", fetch(:licorne_pid)) }
      # The new master serves. With `upgrade :in_place` there is only one; else the old one is still there.
      old = "#{fetch(:licorne_pid)}.oldbin"
      execute("[ ! -s #{old} ] || kill -QUIT $(cat #{old})")
    end
  end

  desc "Stop Licorne; requests that have begun are finished"
  task :stop do
    on roles(:app) do
      within(current_path) { licorne("stop", "--pid-file", fetch(:licorne_pid)) if licorne_runs? }
    end
  end
end

after "deploy:published", "licorne:reload"
