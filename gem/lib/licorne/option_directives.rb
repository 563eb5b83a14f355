# frozen_string_literal: true

require "licorne/probe"

module Licorne
  # Directives of a configuration that take options.
  module OptionDirectives
    # Where each request is noted; see the reference for targets and options.
    def access_log(target, options = {})
      target = target.to_path if target.respond_to?(:to_path)
      @set[:access_log] = check(:access_log, [target, options])
    end

    # What a new worker has to answer before it serves; see the reference for options.
    def probe(*paths, **options)
      @set[:probe] = check(:probe, [paths.flatten(1) - [nil], Probe.plain(options)])
    end

    # What the application is asked before it is ready, and a block that is called afterwards; see the reference.
    def warm_up(*paths, **options, &block)
      mistake("warm_up takes paths or a block") if paths.empty? && block.nil?
      @set[:warm_up] = check(:warm_up, [paths.flatten(1) - [nil], options])
      @warm_up_block = block
    end

    # The block of `warm_up`.
    attr_reader :warm_up_block

    # How a reload tries new code; see the reference for options.
    def canary(wanted = true, **options)
      @set[:canary] = check(:canary, [wanted, options])
    end

    # How many workers: a number, or two of them, or a Range, between which the number follows the load.
    def worker_processes(*given)
      first = given.first
      given = [first.begin, first.exclude_end? && first.end ? first.end - 1 : first.end] if first.is_a?(Range)
      @set[:worker_processes] = check(:worker_processes, given.size == 1 ? given.first : given)
    end

    # After how many requests a worker is replaced. The keyword says the other directive at once.
    def max_requests(*given, jitter: nil)
      give(:max_requests, given)
      give(:recycle_jitter, [jitter]) if jitter
    end

    # After how many seconds a worker is replaced, likewise.
    def max_age(*given, jitter: nil)
      give(:max_age, given)
      give(:recycle_jitter, [jitter]) if jitter
    end

    # A process beside the workers that serves no requests: a program, or what the block does; see the reference.
    def service(name, **options, &block)
      checked = check(:service, [name, options])
      name = checked[:name]
      services = @set[:service] == :unset ? [] : @set[:service]
      mistake("service #{name.inspect} takes either command: or a block") unless checked[:command].nil? ^ block.nil?
      mistake("service #{name.inspect} is given twice") if services.any? { |other| other[:name] == name }
      service_blocks[name] = block if block
      @set[:service] = [*services, checked]
    end

    # The blocks of services, by their names.
    def service_blocks
      @service_blocks ||= {}
    end
  end
end
