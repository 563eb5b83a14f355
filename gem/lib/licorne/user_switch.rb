# frozen_string_literal: true

module Licorne
  # The switch to another user, for objects that have `switched=`: workers and services.
  module UserSwitch
    # Becomes another user, for good. Without a group it takes the user's own group and supplementary groups: keeping
    # those of root, as Unicorn does, would leave the worker half privileged. `group` may be [group, group of logs].
    def user(name, group = nil, chroot = false)
      require "etc"
      account = Etc.getpwnam(name)
      gid, log_gid = groups(group, account)
      Logs.chown(account.uid, log_gid, [name, nil])
      switch_groups(name, gid)
      enter(chroot) if chroot
      Native.allow_stepping_back # while it collects garbage; only root can allow that
      Process::UID.change_privilege(account.uid) if Process.euid != account.uid
      @switched = true
    end

    private

    def groups(group, account)
      gid, log_gid = Array(group).map { |name| Etc.getgrnam(name).gid }
      gid ||= account.gid
      [gid, log_gid || gid]
    end

    # An ordinary user may not set groups; switching to oneself is allowed all the same.
    def switch_groups(name, gid)
      return unless Process.euid.zero? || Process.egid != gid

      Process.initgroups(name, gid)
      Process::GID.change_privilege(gid)
    end

    def enter(chroot)
      Dir.chroot(chroot == true ? Dir.pwd : chroot)
      Dir.chdir("/")
    end
  end
end
