# frozen_string_literal: true

module Licorne
  # How many processors this process may use: the CPU quota of its cgroup and of those above it (cgroups(7), cpu.max;
  # the older cpu.cfs_quota_us), else the number of processors. At least 1.
  module CpuQuota
    module_function

    # A number of workers as the configuration gives it, with a number for `:auto`. Two of them end at the quota, if the
    # first one does not exceed it.
    def workers(given, online: nil, **where)
      least, most = Array(given).map { |count| count.to_s == "auto" ? processors(online: online, **where) : count }
      return least unless most

      most = [most, quota(**where)].compact.min
      most > least ? [least, most] : least
    end

    def processors(online: nil, **where)
      require "etc"
      [quota(**where), online || Etc.nprocessors].compact.min
    end

    # The quota alone, rounded up; nil where there is none.
    def quota(root: "/sys/fs/cgroup", cgroup: nil)
      quota = [*unified(root, cgroup || own_cgroup("")), *legacy(root, cgroup || own_cgroup("cpu"))].min
      [quota.ceil, 1].max if quota
    end

    # The path below the root of a hierarchy: of the unified one, which names no controller, the line "0::/path", of an
    # older one a line such as "4:cpu,cpuacct:/path".
    def own_cgroup(controller)
      lines = File.foreach("/proc/self/cgroup").map { |entry| entry.chomp.split(":", 3) }
      line = lines.find { |_, controllers, _| ",#{controllers},".include?(",#{controller},") }
      line ? line.last : "/"
    rescue SystemCallError
      "/"
    end

    def unified(root, cgroup)
      each_level(root, cgroup).filter_map do |level|
        quota, period = read(File.join(level, "cpu.max"))&.split
        quota.to_f / period.to_f if quota && quota != "max" && period.to_i.positive?
      end
    end

    def legacy(root, cgroup)
      each_level(File.join(root, "cpu"), cgroup).filter_map do |level|
        quota = read(File.join(level, "cpu.cfs_quota_us")).to_i
        period = read(File.join(level, "cpu.cfs_period_us")).to_i
        quota.to_f / period if quota.positive? && period.positive?
      end
    end

    # The directories from the root of a hierarchy down to this cgroup. In a container those below may not be there.
    def each_level(root, cgroup)
      parts = cgroup.split("/").reject { |part| part.empty? || part == ".." }
      (0..parts.size).map { |depth| File.join(root, *parts.first(depth)) }
    end

    def read(path)
      File.read(path)
    rescue SystemCallError
      nil
    end
    private_class_method :own_cgroup, :unified, :legacy, :each_level, :read
  end
end
