# frozen_string_literal: true

# One thread for each process, as the other servers have it, unless BENCH_THREADS says more; 0 workers means one process
# and no master.
count = Integer(ENV.fetch("BENCH_WORKERS", 1))
workers(count == 1 ? 0 : count)
preload_app! if count > 1
threads(*[Integer(ENV.fetch("BENCH_THREADS", 1))] * 2)
environment "production"
quiet
