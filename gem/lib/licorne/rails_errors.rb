# frozen_string_literal: true

module Licorne
  # Tells Rails' error reporter (`Rails.error`) of exceptions that reached the server: those of middleware around Rails'
  # own, of a body that was being sent, of what is called after the response. The reporter itself leaves out what it was
  # told before, which it does since Rails 7.1; older ones are told nothing.
  module RailsErrors
    module_function

    # `env` is that of the request, or nil.
    def report(exception, worker, env)
      reporter = ::Rails.error if defined?(::Rails) && ::Rails.respond_to?(:error)
      return unless reporter && reporter.method(:report).parameters.include?(%i[key source])

      reporter.report(reported(exception), handled: false, source: "licorne", context: context(worker, env || {}))
    end

    # Rails reports the cause in place of what wraps errors of templates.
    def reported(exception)
      return exception unless defined?(::ActionDispatch::ExceptionWrapper)

      wrappers = ::ActionDispatch::ExceptionWrapper.wrapper_exceptions
      (wrappers.include?(exception.class.name) && exception.cause) || exception
    end

    def context(worker, env)
      { worker: worker.nr, request_method: env["REQUEST_METHOD"], path: env["PATH_INFO"],
        request_id: env["action_dispatch.request_id"] || env["HTTP_X_REQUEST_ID"] }.compact
    end
    private_class_method :reported, :context
  end
end
