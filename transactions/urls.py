from rest_framework.routers import SimpleRouter

from transactions import views

router = SimpleRouter(trailing_slash=False)
router.register("transactions", views.TransactionViewSet, "transaction")
router.register("positions", views.PositionViewSet, "position")

urlpatterns = router.urls
