# frozen_string_literal: true

# With BENCH_OBSERVED the application says who answered, with BENCH_HEAP it has a large heap.
require_relative "config/environment"

if ENV["BENCH_OBSERVED"]
  require_relative "../observed"
  use Observed
end
if ENV["BENCH_HEAP"]
  require_relative "../heap"
  use Heap
end
run Rails.application
