# frozen_string_literal: true

module Licorne
  module Conversion
    # Workers and threads as a number of workers.
    module PumaWorkers
      AUTO = /\bauto\b/
      private_constant :AUTO

      private

      # The numbers themselves, where each is given once, and nothing decides whether it is.
      def plain?
        given = @calls.select { |call, _| %w[workers threads].include?(call.name) }
        given.all? { |call, depth| depth.zero? && call.modifier.nil? && Values.number(call.arguments.last.to_s) } &&
          given.map { |call, _| call.name }.sort == %w[threads workers]
      end

      def workers(call)
        return automatic(call.argument) if call.argument.match?(AUTO)
        return Rewrite.to("puma_workers = #{Values.integer(call.argument)}") unless @plain

        count = [Values.number(call.argument), 1].max
        most = count * Values.number(@threads)
        return Rewrite.to("worker_processes #{count}") if most == count

        Rewrite.to("worker_processes #{count}..#{most}", remark: EXPLAINED)
      end

      # A number, or "auto" of the environment.
      def automatic(count)
        return Rewrite.to("worker_processes :auto") if count.match?(/\A[:"']auto["']?\z/)

        Rewrite.to("worker_processes #{Values.grouped(count)}.then { |n| n.to_s == \"auto\" ? :auto : Integer(n) }")
      end

      def threads(call)
        most = call.arguments.last.to_s
        return Rewrite.gone("see worker_processes: a worker serves one request at a time") if @plain || auto?
        return Rewrite.to("puma_threads = [#{most}].max.to_i") if most.start_with?("*")

        Rewrite.to("puma_threads = #{Values.integer(most)}")
      end

      EXPLAINED = <<~TEXT.chomp
        Puma served workers × threads requests at once. Here a worker serves one, and the number of workers follows the
        load between these two, up to the CPU quota; where requests mostly wait for others, raise the first number
        (docs/memory.md#how-many-workers). A worker needs one connection to the database.
      TEXT
      private_constant :EXPLAINED

      # Where the numbers are known when the file is evaluated.
      def worker_processes
        return "" if @plain || auto?

        least = named?("workers") ? "puma_workers.to_i" : 'ENV["WEB_CONCURRENCY"].to_i'
        most = named?("threads") ? "puma_threads" : "5"
        most = "(puma_threads || 5)" if named?("threads") && nested?("threads")
        "\n#{EXPLAINED.gsub(/^/, "# ")}\n#{without_workers}puma_workers = [#{least}, 1].max\n" \
          "worker_processes puma_workers..(puma_workers * #{most})\n"
      end

      def without_workers
        named?("workers") ? "" : "# Without `workers` Puma is one process, or as many as WEB_CONCURRENCY says.\n"
      end

      def auto?
        @calls.any? { |call, _| call.name == "workers" && call.argument.match?(AUTO) }
      end

      # Variables that a block, or a branch, sets.
      def variables
        named = { "workers" => "puma_workers", "threads" => "puma_threads" }
        set = named.select { |name, _| !@plain && nested?(name) }.values
        set.empty? || auto? ? [] : ["#{set.join(" = ")} = nil\n"]
      end

      def nested?(name)
        @calls.any? { |call, depth| call.name == name && (depth.positive? || call.modifier) }
      end
    end
  end
end
