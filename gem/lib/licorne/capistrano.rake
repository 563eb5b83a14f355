# frozen_string_literal: true

plugin = self

namespace :licorne do
  desc "Whether a server would start with the release: configuration, application, listeners"
  task :check do
    plugin.one_by_one { plugin.check }
  end

  desc "Start Licorne, where it does not run"
  task :start do
    plugin.one_by_one { plugin.start }
  end

  desc "New code, one machine after the other: fails, and changes nothing, where the new code does not serve"
  task :reload do
    plugin.one_by_one { plugin.reload }
  end

  desc "Back to the release before, without a boot, where its mold is kept (keep_previous)"
  task :rollback do
    on(roles(fetch(:licorne_roles))) { plugin.rollback }
    plugin.fail_if_one_did
  end

  desc "A new version of Licorne itself, and new code with it"
  task :upgrade do
    plugin.one_by_one { plugin.run("upgrade", "--wait") }
  end

  desc "What serves, and how"
  task :status do
    plugin.one_by_one { |host| puts "#{host}:", plugin.status }
  end

  desc "Stop Licorne; requests that have begun are finished"
  task :stop do
    plugin.one_by_one { plugin.run("stop") }
  end

  task :remember do
    on(release_roles(:all)) { plugin.remember }
  end

  task :deployed do
    plugin.one_by_one { plugin.deployed } if fetch(:licorne_reload_on_deploy)
  rescue SSHKit::Runner::ExecuteError
    on(release_roles(:all)) { plugin.unpublish }
    raise
  end
end
