# frozen_string_literal: true

# A middleware that says in the field `x-worker` who answered, how many of its full collections fell into requests, how
# many it has had since its first request, and how many microseconds the request waited from its X-Request-Start on.
class Observed
  def initialize(app)
    @app = app
    @within = 0
  end

  def call(env)
    waited = wait(env)
    before = GC.stat(:major_gc_count)
    @first ||= before
    status, fields, body = @app.call(env)
    after = GC.stat(:major_gc_count)
    @within += after - before
    [status, fields.merge("x-worker" => "#{Process.pid} #{@within} #{after - @first} #{waited}"), body]
  end

  private

  def wait(env)
    sent = env["HTTP_X_REQUEST_START"]
    return 0 unless sent

    Process.clock_gettime(Process::CLOCK_REALTIME, :microsecond) - sent.delete_prefix("t=").to_i
  end
end
