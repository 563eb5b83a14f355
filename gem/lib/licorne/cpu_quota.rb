# frozen_string_literal: true

module Licorne
  # How many processors this process may use: the CPU quota of its cgroup and of those above it (cgroups(7), cpu.max;
  # the older cpu.cfs_quota_us), else the number of processors. At least 1.
  module CpuQuota
    module_function

    def processors(root: "/sys/fs/cgroup", cgroup: own_cgroup, online: nil)
      require "etc"
      online ||= Etc.nprocessors
      quota = [*unified(root, cgroup), *legacy(root)].min
      quota ? [[quota.ceil, online].min, 1].max : online
    end

    # The path below the root of the unified hierarchy: the line "0::/path".
    def own_cgroup
      line = File.foreach("/proc/self/cgroup").find { |entry| entry.start_with?("0::") }
      line ? line.chomp.delete_prefix("0::") : "/"
    rescue SystemCallError
      "/"
    end

    def unified(root, cgroup)
      parts = cgroup.split("/").reject { |part| part.empty? || part == ".." }
      (0..parts.size).filter_map do |depth|
        quota, period = read(File.join(root, *parts.first(depth), "cpu.max"))&.split
        quota.to_f / period.to_f if quota && quota != "max" && period.to_i.positive?
      end
    end

    def legacy(root)
      quota = read(File.join(root, "cpu", "cpu.cfs_quota_us")).to_i
      period = read(File.join(root, "cpu", "cpu.cfs_period_us")).to_i
      quota.positive? && period.positive? ? [quota.to_f / period] : []
    end

    def read(path)
      File.read(path)
    rescue SystemCallError
      nil
    end
    private_class_method :own_cgroup, :unified, :legacy, :read
  end
end
